"""The points of a test plan that every unit has in common: flags, loading, streams, reset (`hdl.frame`).

The testbench and the checker count their bins, whatever the unit computes.
"""

from __future__ import annotations

from cocotb_tests.contract import Point


def point(feature: str, corner: str, *bins: str) -> Point:
    """Return a point; its bins must all be hit."""
    return Point(feature=feature, corner=corner, bins=bins)


POINTS: tuple[Point, ...] = (
    point("flags", "a column write clears its flag and no other", "flag.cleared_by_write", "flag.kept_by_other_write"),
    point("flags", "a layer write clears every flag", "flag.cleared_by_layer"),
    point("loading", "every column, whole, in random order", "load.full"),
    point(
        "loading", "only what differs, in masked parts, junk in the masked fields", "load.parts", "load.partial_write"
    ),
    point("loading", "a write with an empty mask changes nothing", "load.nothing_taken"),
    point("loading", "layer registers and a column in the same cycle", "load.layer_with_column"),
    point("loading", "a reload that leaves the layer registers alone", "load.layer_kept"),
    point(
        "streams",
        "output waits; pipeline full; input waits",
        "stall.output_waits",
        "stall.pipeline_full",
        "stall.input_waits",
    ),
    point("streams", "a bubble in the pipeline", "stall.bubble"),
    point("streams", "full speed: a word a cycle, latency as stated", "stream.full_speed"),
    point("streams", "pipeline empty inside a vector: not idle", "idle.low_inside_vector"),
    point(
        "reset",
        "words in flight are lost, with and without back pressure",
        "reset.words_in_flight",
        "reset.under_stall",
    ),
    point("reset", "inside a vector; with flags up", "reset.mid_vector", "reset.flags_up"),
    point("reset", "parameters and layer registers outlive it", "reset.parameters_kept"),
)
