"""Cover bins of the FP16 unit, counted by element from the golden intermediates.

The names are those that the test plan (`cocotb_tests.fp16_unit.plan`) asks for. A multiply-add is judged by its exact
sum: binary64 product and sum, and what that sum left over. It counts only where it is seen: where its result with a bit
flipped (the last one, the sign, or one of the exponent that makes a special number an ordinary one) is another output.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from cocotb_tests.contract import Mask, Stimulus
from cocotb_tests.fp16_unit.draw import operands
from cocotb_tests.fp16_unit.ports import parameters
from cocotb_tests.fp16_unit.trace import Step, Trace, bits, halves, kind, received, trace
from golden_model import float16
from golden_model.fixed import Format
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input

Bins: TypeAlias = Iterator[tuple[str, Any]]

LEAST_NORMAL = 2.0**-14
LARGEST, BEYOND = 65504.0, 65520.0
"""The largest number, and the smallest that rounds to infinity."""
NEAR = 2.0**-8
"""How near to half an LSB a near tie lies, in LSB."""


def _signs(name: str, where: Any, sign: Any) -> Bins:
    """Yield a bin for either sign."""
    negative = np.signbit(sign)
    yield f"{name}_positive", where & ~negative
    yield f"{name}_negative", where & negative


CANCELLED = {"u": 19, "v": 19, "w": 19, "x": 14, "sum": 5}
"""Up to how many leading bits of the product are to cancel and leave a rest; the narrower an operand, the fewer can."""

LAST, SIGN, EXPONENT = 1, 0x8000, 0x4000
SHOWN = {SIGN: ("cancels", "plus_zero", "minus_zero", "unlike_zeros")} | {
    EXPONENT: (
        *("overflow_positive", "overflow_negative", "overflow_tie", "infinity_positive", "infinity_negative"),
        *("nan_operand", "zero_times_infinity", "infinities_cancel"),
    )
}
"""By the bit that shows it; all others by the last one."""


def _seen(config: Fp16Config, stimulus: Stimulus, found: Trace, stage: str) -> dict[str, Mask]:
    """Return where the result of a stage is seen at the output, by bin; "" stands for all other bins."""

    def shows(bit: int) -> Mask:
        other = trace(config, stimulus, stage, bit)
        return np.asarray((other.values != found.values) | (other.flagged != found.flagged))

    by_name = {name: shows(bit) for bit, names in SHOWN.items() for name in names[:1]}
    return {name: by_name[names[0]] for names in SHOWN.values() for name in names} | {"": shows(LAST)}


def _step(stage: str, step: Step) -> Bins:
    """Yield what one multiply-add met: its rounding, cancellation, range, specials, and who would get it wrong."""
    a, b, c, result = (np.asarray(each, np.float64) for each in step)
    with np.errstate(all="ignore"):
        product = a * b
        total = product + c
        back = total - product
        rest = (product - (total - back)) + (c - back)  # total + rest is exact
        finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
        exponent = np.maximum(np.frexp(total)[1] - 1, -14) - 10
        scaled = np.ldexp(np.abs(total), -exponent)
        fraction, odd = scaled - np.floor(scaled), np.floor(scaled) % 2 == 1
        beyond_half = np.where(fraction == 0.5, rest * np.sign(total), fraction - 0.5)
        two = np.asarray(float16.add(float16.multiply(step.a, step.b), step.c))
        narrow = (product.astype(np.float32) + c.astype(np.float32)).astype(np.float16)
        lost = np.frexp(product)[1] - np.frexp(total)[1]
        small_rest = np.abs(result) <= 2.0**-8 * np.abs(c)
        addend_far = np.abs(c) >= 2.0**13 * np.abs(product)
        product_far = np.abs(product) >= 2.0**13 * np.abs(c)
    tie = finite & (fraction == 0.5) & (rest == 0) & (np.abs(total) < BEYOND)
    near = finite & (np.abs(fraction - 0.5) <= NEAR) & ~tie & (np.abs(total) < BEYOND)
    yield from _signs(f"{stage}.tie_even", tie & ~odd, total)
    yield from _signs(f"{stage}.tie_odd", tie & odd, total)
    yield f"{stage}.near_below", near & (beyond_half < 0)
    yield f"{stage}.near_above", near & (beyond_half > 0)
    yield f"{stage}.exact", finite & (fraction == 0) & (rest == 0) & (total != 0)
    live = finite & (product != 0) & (c != 0)
    yield f"{stage}.cancels", live & (total == 0)
    yield f"{stage}.cancels_deep", live & (total != 0) & small_rest
    for bits_ in range(4, CANCELLED[stage] + 1):
        yield f"{stage}.cancels_{bits_}", live & (total != 0) & (lost == bits_)
    yield f"{stage}.addend_far", live & addend_far
    yield f"{stage}.product_far", live & product_far
    subnormal = (result != 0) & (np.abs(result) < LEAST_NORMAL)
    yield (
        f"{stage}.subnormal_operand",
        finite & np.logical_or.reduce([(x != 0) & (np.abs(x) < LEAST_NORMAL) for x in (b, c)]),
    )
    yield f"{stage}.subnormal", finite & subnormal
    if stage == "w":
        yield f"{stage}.subnormal_tie", tie & subnormal
        yield from _signs(f"{stage}.underflow", finite & (total != 0) & (result == 0), total)
        yield f"{stage}.rounds_to_normal", finite & (np.abs(total) < LEAST_NORMAL) & (np.abs(result) == LEAST_NORMAL)
    yield from _signs(f"{stage}.overflow", finite & np.isinf(result), total)
    yield f"{stage}.overflow_tie", finite & (np.abs(total) == BEYOND) & (rest == 0)
    yield f"{stage}.last_finite", finite & (np.abs(total) > LARGEST) & (np.abs(result) == LARGEST)
    yield from _signs(f"{stage}.infinity", ~finite & np.isinf(result), result)
    nans = np.isnan(a) | np.isnan(b) | np.isnan(c)
    yield f"{stage}.nan_operand", nans
    yield f"{stage}.plus_zero", finite & (result == 0) & ~np.signbit(result)
    unlike = finite & (product == 0) & (c == 0) & (np.signbit(product) != np.signbit(c))
    yield f"{stage}.unlike_zeros", unlike
    if stage != "sum":  # there b is 1 and a an integer: no product is inexact, infinite or -0
        yield f"{stage}.minus_zero", finite & (result == 0) & np.signbit(result)
        yield f"{stage}.zero_times_infinity", ~nans & (np.isinf(a) | np.isinf(b)) & np.isnan(product)
        yield f"{stage}.infinities_cancel", np.isinf(product) & np.isinf(c) & np.isnan(result)
        yield f"{stage}.two_roundings", finite & (bits(two) != bits(step.result))
        yield f"{stage}.narrow_sum", finite & (bits(narrow) != bits(step.result))


def _parameters(config: Fp16Config, stimulus: Stimulus) -> Bins:
    """Yield which kinds of numbers every parameter was."""
    for name in parameters(config):
        codes = np.asarray(stimulus.columns[name])
        magnitude = codes & 0x7FFF
        yield f"{name}.plus_zero", codes == 0
        yield f"{name}.minus_zero", codes == 0x8000
        yield f"{name}.subnormal", (magnitude > 0) & (magnitude < 0x400)
        yield f"{name}.largest", magnitude == 0x7BFF
        yield f"{name}.infinity", magnitude == 0x7C00
        yield f"{name}.nan", codes == float16.NAN_BITS
        yield f"{name}.other_nan", (magnitude > 0x7C00) & (codes != float16.NAN_BITS)


def _operands(config: Fp16Config, stimulus: Stimulus) -> Bins:
    """Yield the ends of every integer operand, its conversion to binary16, and the kinds of received sums."""
    for name, allowed in operands(config).items():
        codes = stimulus.words[name]
        converted = np.asarray(float16.from_int(codes), np.float64)
        yield f"{name}.lowest", codes == allowed.lo
        yield f"{name}.zero", codes == 0
        yield f"{name}.highest", codes == allowed.hi
        if allowed.hi - allowed.lo < 4096:
            yield f"{name}.every_code", len(np.unique(codes)) == allowed.hi - allowed.lo + 1
        if name != "received":
            down, up = np.abs(converted) < np.abs(codes), np.isfinite(converted) & (np.abs(converted) > np.abs(codes))
            yield f"{name}.rounded_down", down
            yield f"{name}.rounded_up", up
    if config.input is Input.CODE:
        yield (
            "first.negative_rounded",
            (np.asarray(float16.from_int(stimulus.words["first"])) != stimulus.words["first"])
            & (stimulus.words["first"] < 0),
        )
    elif config.input_bits == 16:
        yield "first.infinite", np.isinf(float16.from_int(stimulus.words["first"]))
        yield "second.infinite", np.isinf(float16.from_int(stimulus.words["second"]))
    if not config.int8:
        sums = np.asarray(received(config, stimulus), np.float64)
        used = bool(stimulus.layer["receive"])
        yield "received.subnormal", (sums != 0) & (np.abs(sums) < LEAST_NORMAL) & used
        yield "received.infinite", np.isinf(sums) & used
        yield "received.nan", np.isnan(sums) & used
        yield "received.minus_zero", (sums == 0) & np.signbit(sums) & used


def _tiles(config: Fp16Config, stimulus: Stimulus, found: Trace) -> Bins:
    """Yield the path of a tile, and what it leaves out although it stands at the ports."""
    layer, words = stimulus.layer, stimulus.words
    every = np.ones(words["first"].shape, bool)
    receives, last = bool(layer["receive"]), bool(layer["last"])
    sums = "int8" if config.int8 else "half"
    path = ("last" if receives else "single") if last else "middle" if receives else "first"
    yield f"tile.{sums}.{path}", every
    yield f"tile.{sums}.received_ignored", every & (words["received"] != 0) & (not receives)
    if not config.int8:
        given = np.asarray(received(config, stimulus), np.float64)
        yield "tile.nan_received_ignored", np.isnan(given) & (not receives)
    if not last:
        yield (
            f"tile.{sums}.last_stages_ignored",
            every & bool(layer["relu_before"] or layer["relu_after"] or layer["add_residual"] or layer["logits"]),
        )
    gamma, beta = (np.asarray(halves(stimulus.columns[name]), np.float64) for name in ("gamma", "beta"))
    if not last and not config.int8:
        yield "tile.affine_ignored", every & ~(np.isfinite(gamma) & np.isfinite(beta)) & ~np.isnan(found.end)
    if last and layer["logits"]:
        yield f"logits.{sums}", every
    scale = np.asarray(halves(stimulus.columns["receive"]), np.float64)
    if last and not layer["add_residual"]:
        yield "residual.ignored", (words["residual"] != 0) & (scale != 0)
        yield "residual.not_finite_ignored", every & ~np.isfinite(scale) & ~np.isnan(found.end)
        zero = (found.end == 0) & np.signbit(found.end)
        yield "residual.bypass_keeps_minus_zero", zero & bool(layer["logits"])


def _relus(stimulus: Stimulus, found: Trace) -> Bins:
    """Yield what either ReLU met."""
    for name, (value, enabled) in found.relus.items():
        negative = np.asarray(value) < 0
        yield f"{name}.clips", negative & enabled
        yield f"{name}.passes", (np.asarray(value) > 0) & enabled
        yield f"{name}.off", negative & (not enabled)
        yield f"{name}.minus_infinity", np.isneginf(value) & enabled
        yield f"{name}.nan", np.isnan(value) & enabled
        seen = enabled and found.kind == "half" and (name == "relu_after" or not stimulus.layer["relu_after"])
        yield f"{name}.minus_zero", (value == 0) & np.signbit(value) & bool(seen and not stimulus.layer["add_residual"])


def _codes(name: str, output: Format, found: Trace) -> Bins:
    """Yield what a conversion to codes met."""
    x, low, high = np.asarray(found.end, np.float64), output.range.lo, output.range.hi
    with np.errstate(invalid="ignore"):
        rounded = np.rint(x)
        fraction, odd = np.abs(x) % 1, np.floor(np.abs(x)) % 2 == 1
    inside = (rounded >= low) & (rounded <= high)
    tie = (fraction == 0.5) & inside
    yield from _signs(f"{name}.tie_even", tie & ~odd, x)
    yield from _signs(f"{name}.tie_odd", tie & odd, x)
    yield f"{name}.below_half", inside & (fraction > 0) & (fraction < 0.5)
    yield f"{name}.above_half", inside & (fraction > 0.5)
    kind_ = "sym" if output.symmetric else "int" if output.signed else "uint"
    if output.bits <= 8:  # where binary16 holds both sides of the ends
        for side, end, step in (("high", high, 1), ("low", low, -1)):
            yield f"{name}.{kind_}.{side}", np.isfinite(x) & ((rounded - end) * step > 0)
            yield f"{name}.{kind_}.just_{side}", rounded == end + step
            yield f"{name}.{kind_}.at_{side}", rounded == end
    yield from _signs(f"{name}.infinity", np.isinf(x), x)
    yield f"{name}.nan", np.isnan(x)
    yield f"{name}.nearly_zero", (x != 0) & (np.abs(x) < 2.0**-14)


def _flags(stimulus: Stimulus, found: Trace) -> Bins:
    """Yield why flags go up or stay down, and flags that outlive words."""
    raised = found.flagged.any(axis=0)
    yield "flag.stays_down", ~raised
    yield "flag.up", raised
    yield "flag.sticky", raised & ~found.flagged[-1]
    if found.kind == "half":
        yield "flag.nan_half", np.isnan(found.end)
        yield "flag.infinite_half_raises_none", np.isinf(found.end)
    for name in ("relu_before", "relu_after"):
        if name in found.relus and found.relus[name].enabled and found.kind == "code":
            hidden = np.isneginf(found.relus[name].value) & ~found.flagged
            yield "flag.relu_hides_minus_infinity", hidden


def count(config: Fp16Config, stimulus: Stimulus) -> Counter[str]:
    """Return how many elements of a stimulus fall in each bin; parameter bins count columns."""
    found = trace(config, stimulus)
    counted: Counter[str] = Counter()
    _, output = kind(config, stimulus.layer)
    for stage, step in found.steps.items():
        seen = _seen(config, stimulus, found, stage)
        for name, where in _step(stage, step):
            counted[name] += int(np.count_nonzero(where & seen.get(name.removeprefix(f"{stage}."), seen[""])))
    parts = [_parameters(config, stimulus), _operands(config, stimulus), _tiles(config, stimulus, found)]
    parts += [_relus(stimulus, found), _flags(stimulus, found)]
    if output is not None:
        parts.append(_codes(found.kind, output, found))
    for part in parts:
        for name, where in part:
            counted[name] += int(np.count_nonzero(where))
    return counted
