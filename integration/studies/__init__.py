"""Studies on converted networks: what a digital unit costs in accuracy."""
