"""Networks, data sets, training and checkpoints: everything the studies need before a tile comes in."""
