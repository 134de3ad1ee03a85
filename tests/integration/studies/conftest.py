"""The folder's own modules (`trivial_tasks`) are importable from its tests, their workers and their clusters."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
