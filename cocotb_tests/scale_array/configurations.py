"""The configurations of the array that the benches build, as data: each is there for what its comment says.

A word is one stream of one array, so `words` is arrays times streams: at least 1,000 random arrays each.
"""

from __future__ import annotations

from cocotb_tests.contract import Case, Target
from golden_model.scale_array.config import HCIM_A, HCIM_B, HCIM_WIDE, ScaleArrayConfig
from synth.mutation import Part

ARRAYS = 1000

CASES = (
    # The published ones: 24 x 128, 24 x 64, 40 x 128.
    Case(name="hcim_a", config=HCIM_A, words=ARRAYS * 4, corners=24),
    Case(name="hcim_b", config=HCIM_B, words=ARRAYS * 4, corners=24),
    Case(name="hcim_wide", config=HCIM_WIDE, words=ARRAYS * 3, corners=24),
    # Small, two lanes; sums overflow, counters wrap; every scale and code meets.
    Case(
        name="overflow_8",
        config=ScaleArrayConfig(columns=8, streams=5, scale_bits=2, sum_bits=4, counter_bits=8),
        words=ARRAYS * 5,
        quick=True,
    ),
    # One stream: no sum is ever stored. One lane, so that every other pass's word wraps whole.
    Case(
        name="one_stream_6",
        config=ScaleArrayConfig(columns=6, streams=1, scale_bits=3, sum_bits=6),
        words=ARRAYS,
        quick=True,
    ),
    # Three passes of one-bit scales: the least distance at which a row may be read again, three cycles.
    Case(
        name="least_distance_12",
        config=ScaleArrayConfig(columns=12, streams=6, scale_bits=1, sum_bits=3, counter_bits=10),
        words=ARRAYS * 6,
        quick=True,
    ),
    # Four passes, rows that are no power of two, sums with room to spare.
    Case(
        name="four_passes_24",
        config=ScaleArrayConfig(columns=24, streams=2, scale_bits=3, sum_bits=12),
        words=ARRAYS * 2,
    ),
)

EXTRA_CASES = (
    # Two lanes that overflow and come back, every port: for faults.
    Case(
        name="faulty_8",
        config=ScaleArrayConfig(columns=8, streams=5, scale_bits=2, sum_bits=4, counter_bits=6),
        words=800,
        corners=32,
    ),
)
"""Configurations that are not part of the regression: for faults."""

TRACED = "overflow_8"
"""What --waves shows where nothing failed."""

MEASURED = ("hcim_a", "hcim_b", "hcim_wide")
"""The published ones."""

PLANTED = "faulty_8"
"""The configuration that gets the faults with names."""

TARGETS = (
    Target(
        case="faulty_8",
        quotas={Part.DATAPATH: 60, Part.STORE: 16, Part.CONTROL: 16, Part.FLAGS: 8},
        short=(240, 16),
        long=(4000, 96),
    ),
)
"""100 faults."""
