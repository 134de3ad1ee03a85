"""From a plain torch model to calibrated tiles with quantised parameters."""
