"""The project whole: `convert` puts a torch model on analog tiles, `evaluate` says what each digital unit costs."""

from integration.mapping.network import ConvertedNetwork, convert
from integration.studies.evaluate import Evaluation, evaluate

__all__ = ["ConvertedNetwork", "Evaluation", "convert", "evaluate"]
