"""The test plan as data: every corner that must be met, the bench that meets it, and the cover bins that prove it.

A point is met when every one of its bins was counted at least once over the regression; a point that is not met fails
the regression. `python -m cocotb_tests.plan FILE` writes the table into the page that shows it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from golden_model.fixed import Rounding

BEGIN, END = "<!-- plan: begin -->", "<!-- plan: end -->"
"""Around the generated table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of the plan."""

    feature: str
    """What is tested."""
    corner: str
    """The corner that must be met."""
    bins: tuple[str, ...]
    """Names that `cocotb_tests.coverage` or the testbench counts."""
    bench: str = "bench_nmpu"
    """Where."""


def _point(feature: str, corner: str, *bins: str) -> Point:
    return Point(feature=feature, corner=corner, bins=bins)


def _ends(feature: str, what: str, *names: str) -> Iterator[Point]:
    """Yield a point a parameter or operand: both ends and 0."""
    for name in names:
        bins = (f"{name}.lowest", f"{name}.zero", f"{name}.highest")
        yield _point(feature, f"{what} `{name}` at both ends and at 0", *bins)


def _rounding(stage: str, what: str) -> Iterator[Point]:
    """Yield the points of one rounding: every mode, ties by parity and sign, and what is no tie."""
    yield _point(what, "nothing dropped; dropped bits all 0", f"{stage}.nothing_dropped", f"{stage}.exact")
    for mode in Rounding:
        name = f"{stage}.{mode.value}"
        yield _point(what, f"{mode.value}: below and above half", f"{name}.below_half", f"{name}.above_half")
        for sign in ("positive", "negative"):
            bins = (f"{name}.tie_even_{sign}", f"{name}.tie_odd_{sign}")
            yield _point(what, f"{mode.value}: exact tie above an even and above an odd number, {sign}", *bins)


def _saturation(stage: str, what: str) -> Iterator[Point]:
    """Yield the points of one saturation: far out, one beyond the edge and on the edge, on both sides."""
    for side in ("high", "low"):
        bins = (f"{stage}.{side}", f"{stage}.just_{side}", f"{stage}.at_{side}")
        yield _point(what, f"{side}: far beyond, by one, and the last code that fits", *bins)


POINTS: tuple[Point, ...] = (
    *_ends("parameters", "parameter", "scale_p", "scale_n", "offset", "shift", "negate"),
    *_ends("parameters", "parameter", "bn_scale", "bn_offset", "bn_shift", "bn_negate"),
    *_ends("parameters", "parameter", "residual_scale", "residual_shift"),
    _point("parameters", "dead column: every field 0", "column.dead"),
    *_ends("operands", "operand", "first", "second", "received", "residual"),
    _point("affine", "T negative, zero, positive", "affine.negative", "affine.zero", "affine.positive"),
    _point("affine", "T at both ends of its derived range", "affine.lowest", "affine.highest"),
    _point("affine", "negate swaps unequal counts under unequal scales", "negate.swaps_counts"),
    _point("affine", "negate of the most negative code, which needs one more bit", "negate.most_negative_code"),
    _point("affine", "layer shift 0 and largest", "layer_shift.zero", "layer_shift.highest"),
    _point("affine", "layer shift and column shift both largest", "shift.both_highest"),
    _point(
        "cuts",
        "`cut_pre` drops set bits of the one product or of either",
        "cut_pre.drops",
        "cut_pre.drops_negative_branch",
    ),
    _point(
        "cuts",
        "`cut_post` floors a positive and a negative value",
        "cut_post.drops_positive",
        "cut_post.drops_negative",
    ),
    *_rounding("compress", "compression"),
    *_saturation("sum.wide", "partial sum, wide"),
    *_saturation("sum.int8", "partial sum, INT8"),
    _point(
        "tiles",
        "the only, first, middle and last tile of a column",
        "tile.single",
        "tile.first",
        "tile.middle",
        "tile.last",
    ),
    _point("tiles", "a received operand is ignored by a first tile", "tile.received_ignored"),
    _point("tiles", "ReLU and residual are ignored by a tile that is not the last", "tile.last_stages_ignored"),
    _point(
        "residual",
        "operand finer, sum finer, equally fine",
        "residual.operand_finer",
        "residual.sum_finer",
        "residual.equally_fine",
    ),
    _point("residual", "the residual turns the sign", "residual.turns_sign"),
    _point("residual", "an operand is ignored where none is to be added", "residual.ignored"),
    _point(
        "ReLU", "before the residual: clips, passes, off", "relu_before.clips", "relu_before.passes", "relu_before.off"
    ),
    _point("ReLU", "after the residual: clips, passes, off", "relu_after.clips", "relu_after.passes", "relu_after.off"),
    *_rounding("round", "requantisation"),
    *_saturation("output.sym", "output SYM n"),
    *_saturation("output.int", "output INT n"),
    *_saturation("output.uint", "output UINT n"),
    _point("flags", "a flag goes up; a flag stays down", "flag.up", "flag.stays_down"),
    _point("flags", "a flag outlives words that do not saturate", "flag.sticky"),
    _point("flags", "the sum saturates and the output does not", "flag.sum_alone"),
    _point("flags", "a clipped negative behind a ReLU is no saturation", "flag.relu_hides_clip"),
    _point("flags", "a column write clears its flag and no other", "flag.cleared_by_write", "flag.kept_by_other_write"),
    _point("flags", "a layer write clears every flag", "flag.cleared_by_layer"),
    _point("loading", "every column, whole, in random order", "load.full"),
    _point(
        "loading", "only what differs, in masked parts, junk in the masked fields", "load.parts", "load.partial_write"
    ),
    _point("loading", "a write with an empty mask changes nothing", "load.nothing_taken"),
    _point("loading", "layer registers and a column in the same cycle", "load.layer_with_column"),
    _point("loading", "a reload that leaves the layer registers alone", "load.layer_kept"),
    _point(
        "streams",
        "output waits; pipeline full; input waits",
        "stall.output_waits",
        "stall.pipeline_full",
        "stall.input_waits",
    ),
    _point("streams", "a bubble in the pipeline", "stall.bubble"),
    _point("streams", "full speed: a word a cycle, latency as stated", "stream.full_speed"),
    _point("streams", "pipeline empty inside a vector: not idle", "idle.low_inside_vector"),
    _point(
        "reset",
        "words in flight are lost, with and without back pressure",
        "reset.words_in_flight",
        "reset.under_stall",
    ),
    _point("reset", "inside a vector; with flags up", "reset.mid_vector", "reset.flags_up"),
    _point("reset", "parameters and layer registers outlive it", "reset.parameters_kept"),
)


def unmet(bins: Mapping[str, int]) -> list[Point]:
    """Return the points of which a bin was never counted."""
    return [point for point in POINTS if not all(bins.get(name, 0) for name in point.bins)]


def table() -> str:
    """Return the plan as a table."""
    lines = ["| feature | corner | bench | bins |", "|---|---|---|---|"]
    for point in POINTS:
        bins = ", ".join(f"`{name}`" for name in point.bins)
        lines.append(f"| {point.feature} | {point.corner} | `{point.bench}` | {bins} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the text of a page with the table between its markers brought up to date."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    shown = Path(sys.argv[1])
    shown.write_text(page(shown.read_text()))
