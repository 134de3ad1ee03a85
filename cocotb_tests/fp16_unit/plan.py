"""The FP16 unit's test plan as data: every corner that must be met, and the cover bins that prove it."""

from __future__ import annotations

from collections.abc import Iterator

from cocotb_tests import frame
from cocotb_tests.contract import Point
from cocotb_tests.fp16_unit.coverage import CANCELLED
from cocotb_tests.frame import point


def _bins(stage: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{stage}.{name}" for name in names)


def _signed(stage: str, *names: str) -> tuple[str, ...]:
    return _bins(stage, *(f"{name}_{sign}" for name in names for sign in ("positive", "negative")))


def _multiply_add(stage: str) -> Iterator[Point]:
    """Yield the points of one multiply-add."""
    what = {"sum": "INT8 sum added"}.get(stage, f"multiply-add {stage}")
    yield point(
        what, "exact tie above an even and above an odd number, either sign", *_signed(stage, "tie_even", "tie_odd")
    )
    yield point(what, "next to a tie, on either side; exact", *_bins(stage, "near_below", "near_above", "exact"))
    yield point(what, "cancels to 0; to a small rest", *_bins(stage, "cancels", "cancels_deep"))
    counts = range(4, CANCELLED[stage] + 1)
    yield point(
        what, f"cancels 4 to {counts[-1]} leading bits, each number", *_bins(stage, *(f"cancels_{n}" for n in counts))
    )
    yield point(what, "addend far above, far below the product", *_bins(stage, "addend_far", "product_far"))
    yield point(what, "subnormal operand, subnormal result", *_bins(stage, "subnormal_operand", "subnormal"))
    yield point(what, "overflow of either sign", *_signed(stage, "overflow"))
    yield point(
        what, "65,520, which rounds to infinity; the last that does not", *_bins(stage, "overflow_tie", "last_finite")
    )
    yield point(what, "an infinite operand, either sign; a NaN", *_signed(stage, "infinity"), f"{stage}.nan_operand")
    yield point(what, "zeros of unlike sign add to +0", *_bins(stage, "plus_zero", "unlike_zeros"))
    if stage == "sum":
        return
    yield point(what, "the result -0", f"{stage}.minus_zero")
    yield point(what, "0 * infinity; infinity - infinity", *_bins(stage, "zero_times_infinity", "infinities_cancel"))
    yield point(what, "a rounded product gives another result", f"{stage}.two_roundings")
    yield point(what, "a binary32 sum gives another result", f"{stage}.narrow_sum")


def _conversions() -> Iterator[Point]:
    """Yield the points of the integer operands."""
    for name in ("first", "second", "received", "residual"):
        yield point("operands", f"operand `{name}` at both ends and at 0", *_bins(name, "lowest", "zero", "highest"))
        yield point("operands", f"every code of operand `{name}`", f"{name}.every_code")
    for name in ("first", "second", "residual"):
        yield point(
            "operands", f"`{name}` rounded to binary16, down and up", *_bins(name, "rounded_down", "rounded_up")
        )
    yield point("operands", "a negative code rounded to binary16", "first.negative_rounded")
    yield point("operands", "a count that is infinite in binary16", "first.infinite", "second.infinite")
    names = ("subnormal", "infinite", "nan", "minus_zero")
    yield point("operands", "a received binary16 sum subnormal, infinite, NaN, -0", *_bins("received", *names))


def _to_int(name: str, what: str, *kinds: str) -> Iterator[Point]:
    """Yield the points of a conversion to codes."""
    yield point(what, "tie above an even and above an odd number, either sign", *_signed(name, "tie_even", "tie_odd"))
    yield point(what, "below and above half", *_bins(name, "below_half", "above_half"))
    for kind in kinds:
        for side in ("high", "low"):
            bins = _bins(f"{name}.{kind}", side, f"just_{side}", f"at_{side}")
            yield point(what, f"{kind.upper()} n, {side}: far beyond, by one, and the last code that fits", *bins)
    yield point(
        what, "infinity of either sign, NaN, nearly 0", *_signed(name, "infinity"), *_bins(name, "nan", "nearly_zero")
    )


def _tiles() -> Iterator[Point]:
    """Yield the points of the tiles of a column."""
    for sums, what in (("half", "binary16 sums"), ("int8", "INT8 sums")):
        paths = ("single", "first", "middle", "last")
        yield point("tiles", f"{what}: the only, first, middle and last tile", *_bins(f"tile.{sums}", *paths))
        yield point("tiles", f"{what}: a received sum is ignored by a first tile", f"tile.{sums}.received_ignored")
        yield point(
            "tiles",
            f"{what}: ReLU, residual and logits are ignored by a tile that is not the last",
            f"tile.{sums}.last_stages_ignored",
        )
        yield point("tiles", f"{what}: logits leave", f"logits.{sums}")
    yield point("tiles", "a NaN sum is ignored by a first tile", "tile.nan_received_ignored")
    yield point("tiles", "an infinite or NaN gamma or beta leaves a binary16 sum alone", "tile.affine_ignored")


POINTS: tuple[Point, ...] = (
    *(
        point(
            "parameters",
            f"parameter `{name}` +0, -0, subnormal, largest, infinite, NaN, another NaN",
            *_bins(name, "plus_zero", "minus_zero", "subnormal", "largest", "infinity", "nan", "other_nan"),
        )
        for name in ("scale_p", "scale_n", "offset", "gamma", "beta", "receive")
    ),
    *_conversions(),
    *(each for stage in ("u", "v", "w", "sum", "x") for each in _multiply_add(stage)),
    point("multiply-add w", "a tie between subnormal numbers", "w.subnormal_tie"),
    point("multiply-add w", "underflow to 0, either sign", *_signed("w", "underflow")),
    point("multiply-add w", "rounds up to the smallest normal number", "w.rounds_to_normal"),
    *_tiles(),
    point("residual", "an operand is ignored where none is to be added", "residual.ignored"),
    point("residual", "an infinite or NaN scale is ignored where none is to be added", "residual.not_finite_ignored"),
    point("residual", "the bypass keeps -0", "residual.bypass_keeps_minus_zero"),
    *(
        each
        for name, where in (("relu_before", "before the residual"), ("relu_after", "after the residual"))
        for each in (
            point("ReLU", f"{where}: clips, passes, off", *_bins(name, "clips", "passes", "off")),
            point("ReLU", f"{where}: -0, seen at the output", f"{name}.minus_zero"),
            point("ReLU", f"{where}: minus infinity, NaN", *_bins(name, "minus_infinity", "nan")),
        )
    ),
    *_to_int("code", "output code", "sym", "int", "uint"),
    *_to_int("sum", "INT8 sum out", "int"),
    point("flags", "a flag goes up; a flag stays down", "flag.up", "flag.stays_down"),
    point("flags", "a flag outlives words that do not saturate", "flag.sticky"),
    point("flags", "a binary16 NaN raises one, an infinity none", "flag.nan_half", "flag.infinite_half_raises_none"),
    point("flags", "minus infinity behind a ReLU raises none", "flag.relu_hides_minus_infinity"),
    *frame.POINTS,
)
