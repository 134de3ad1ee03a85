"""What all tests share: one thread a process, and `small_liberty`, which is importable from every test.

Two threads fight over busy cores, and no result depends on their number.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
