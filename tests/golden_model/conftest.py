"""Property tests draw the same examples in every run, and a loaded machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("regression", derandomize=True, deadline=None, database=None, print_blob=False)
settings.load_profile("regression")
