"""What a chip team unpacks: a unit's Verilog with its wrappers, its bus, checks and the files that tools start from."""
