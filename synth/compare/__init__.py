"""The NMPU beside the FP16 unit, on equal work: every number measured, every ratio with its formula."""
