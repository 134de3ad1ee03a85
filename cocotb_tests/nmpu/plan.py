"""The NMPU's test plan as data: every corner that must be met, and the cover bins that prove it."""

from __future__ import annotations

from collections.abc import Iterator

from cocotb_tests import frame
from cocotb_tests.contract import Point
from cocotb_tests.frame import point
from golden_model.fixed import Rounding


def _ends(feature: str, what: str, *names: str) -> Iterator[Point]:
    """Yield a point a parameter or operand: both ends and 0."""
    for name in names:
        bins = (f"{name}.lowest", f"{name}.zero", f"{name}.highest")
        yield point(feature, f"{what} `{name}` at both ends and at 0", *bins)


def _rounding(stage: str, what: str) -> Iterator[Point]:
    """Yield the points of one rounding: every mode, ties by parity and sign, and what is no tie."""
    yield point(what, "nothing dropped; dropped bits all 0", f"{stage}.nothing_dropped", f"{stage}.exact")
    for mode in Rounding:
        name = f"{stage}.{mode.value}"
        yield point(what, f"{mode.value}: below and above half", f"{name}.below_half", f"{name}.above_half")
        for sign in ("positive", "negative"):
            bins = (f"{name}.tie_even_{sign}", f"{name}.tie_odd_{sign}")
            yield point(what, f"{mode.value}: exact tie above an even and above an odd number, {sign}", *bins)


def _saturation(stage: str, what: str) -> Iterator[Point]:
    """Yield the points of one saturation: far out, one beyond the edge and on the edge, on both sides."""
    for side in ("high", "low"):
        bins = (f"{stage}.{side}", f"{stage}.just_{side}", f"{stage}.at_{side}")
        yield point(what, f"{side}: far beyond, by one, and the last code that fits", *bins)


POINTS: tuple[Point, ...] = (
    *_ends("parameters", "parameter", "scale_p", "scale_n", "offset", "shift", "negate"),
    *_ends("parameters", "parameter", "bn_scale", "bn_offset", "bn_shift", "bn_negate"),
    *_ends("parameters", "parameter", "residual_scale", "residual_shift"),
    point("parameters", "dead column: every field 0", "column.dead"),
    *_ends("operands", "operand", "first", "second", "received", "residual"),
    point("affine", "T negative, zero, positive", "affine.negative", "affine.zero", "affine.positive"),
    point("affine", "T at both ends of its derived range", "affine.lowest", "affine.highest"),
    point("affine", "negate swaps unequal counts under unequal scales", "negate.swaps_counts"),
    point("affine", "negate of the most negative code, which needs one more bit", "negate.most_negative_code"),
    point("affine", "layer shift 0 and largest", "layer_shift.zero", "layer_shift.highest"),
    point("affine", "layer shift and column shift both largest", "shift.both_highest"),
    point(
        "cuts",
        "`cut_pre` drops set bits of the one product or of either",
        "cut_pre.drops",
        "cut_pre.drops_negative_branch",
    ),
    point(
        "cuts",
        "`cut_post` floors a positive and a negative value",
        "cut_post.drops_positive",
        "cut_post.drops_negative",
    ),
    *_rounding("compress", "compression"),
    *_saturation("sum.wide", "partial sum, wide"),
    *_saturation("sum.int8", "partial sum, INT8"),
    point(
        "tiles",
        "the only, first, middle and last tile of a column",
        "tile.single",
        "tile.first",
        "tile.middle",
        "tile.last",
    ),
    point("tiles", "a received operand is ignored by a first tile", "tile.received_ignored"),
    point("tiles", "ReLU and residual are ignored by a tile that is not the last", "tile.last_stages_ignored"),
    point(
        "residual",
        "operand finer, sum finer, equally fine",
        "residual.operand_finer",
        "residual.sum_finer",
        "residual.equally_fine",
    ),
    point("residual", "the residual turns the sign", "residual.turns_sign"),
    point("residual", "an operand is ignored where none is to be added", "residual.ignored"),
    point(
        "ReLU", "before the residual: clips, passes, off", "relu_before.clips", "relu_before.passes", "relu_before.off"
    ),
    point("ReLU", "after the residual: clips, passes, off", "relu_after.clips", "relu_after.passes", "relu_after.off"),
    *_rounding("round", "requantisation"),
    *_saturation("output.sym", "output SYM n"),
    *_saturation("output.int", "output INT n"),
    *_saturation("output.uint", "output UINT n"),
    point("flags", "a flag goes up; a flag stays down", "flag.up", "flag.stays_down"),
    point(
        "flags",
        "the last codes that fit, one of them rounded in from outside, raise none",
        "flag.down_at_low",
        "flag.down_at_high",
        "flag.down_rounded_in",
    ),
    point("flags", "a flag outlives words that do not saturate", "flag.sticky"),
    point("flags", "the sum saturates and the output does not", "flag.sum_alone"),
    point("flags", "a clipped negative behind a ReLU is no saturation", "flag.relu_hides_clip"),
    *frame.POINTS,
)
