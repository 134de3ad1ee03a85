"""Cover bins: which corner a batch touched, counted by element from the golden intermediates.

The names are those that the test plan (`cocotb_tests.nmpu.plan`) asks for. Nothing is read back from the hardware here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from cocotb_tests.contract import Stimulus
from cocotb_tests.nmpu.stimulus import batch as batch_of
from golden_model.fixed import Range, round_shift
from golden_model.nmpu import Fixed
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from golden_model.vectors import Batch, Mask, Trace, Words, trace

Bins = Iterator[tuple[str, Any]]


def _rounding(stage: str, mode: str, before: Any, bits: Any) -> Bins:
    """Yield what a rounding that drops `bits` bits met: exact values, both sides of a tie, ties by parity and sign."""
    before, bits = np.broadcast_arrays(np.asarray(before), np.asarray(bits))
    half = (np.int64(1) << bits) >> 1
    rest, odd, negative = before & ((np.int64(1) << bits) - 1), (before >> bits) & 1 == 1, before < 0
    yield f"{stage}.nothing_dropped", bits == 0
    yield f"{stage}.exact", (bits > 0) & (rest == 0)
    yield f"{stage}.{mode}.below_half", (rest > 0) & (rest < half)
    yield f"{stage}.{mode}.above_half", rest > half
    tie = (half > 0) & (rest == half)
    for sign, where in (("positive", ~negative), ("negative", negative)):
        yield f"{stage}.{mode}.tie_even_{sign}", tie & where & ~odd
        yield f"{stage}.{mode}.tie_odd_{sign}", tie & where & odd


def _saturation(stage: str, value: Any, limits: Range) -> Bins:
    """Yield both saturations, and both sides of either edge."""
    value = np.asarray(value)
    yield f"{stage}.high", value > limits.hi
    yield f"{stage}.low", value < limits.lo
    yield f"{stage}.just_high", value == limits.hi + 1
    yield f"{stage}.just_low", value == limits.lo - 1
    yield f"{stage}.at_high", value == limits.hi
    yield f"{stage}.at_low", value == limits.lo


def _parameters(config: NmpuConfig, columns: Columns) -> Bins:
    """Yield the ends of every parameter that the unit stores, and columns in which nothing is alive."""
    stored = {name: allowed for name, allowed in Columns.ranges(config).items() if allowed != Range(0, 0)}
    for name, allowed in stored.items():
        codes = np.asarray(getattr(columns, name))
        yield f"{name}.lowest", codes == allowed.lo
        yield f"{name}.zero", codes == 0
        yield f"{name}.highest", codes == allowed.hi
    yield "column.dead", np.logical_and.reduce([np.asarray(getattr(columns, name)) == 0 for name in stored])


def _operands(config: NmpuConfig, batch: Batch) -> Bins:
    """Yield the ends of every operand, and what a negate meets."""
    for name, allowed in Words.ranges(config).items():
        if allowed != Range(0, 0):
            operand = getattr(batch.words, name)
            yield f"{name}.lowest", operand == allowed.lo
            yield f"{name}.highest", operand == allowed.hi
            yield f"{name}.zero", operand == 0
    if config.input is Input.CODE:
        live = np.asarray(batch.columns.scale_p) > 0
        yield (
            "negate.most_negative_code",
            (batch.words.first == config.input_range.lo) & live & (np.asarray(batch.columns.negate) == 1),
        )
    else:
        unequal = (batch.words.first != batch.words.second) & (batch.columns.scale_p != batch.columns.scale_n)
        yield "negate.swaps_counts", unequal & (np.asarray(batch.columns.negate) == 1)


def _cuts(config: NmpuConfig, batch: Batch, found: Trace) -> Bins:
    """Yield where a cut drops a bit that is set: of a product, of the negative product, of a negative rounded value."""
    if config.cut_pre:
        low = (1 << config.cut_pre) - 1
        product = batch.words.first * np.asarray(batch.columns.scale_p)
        yield "cut_pre.drops", product & low != 0
        if config.input is Input.COUNTS:
            yield "cut_pre.drops_negative_branch", (batch.words.second * np.asarray(batch.columns.scale_n)) & low != 0
    if config.cut_post and found.final is not None:
        rounded = round_shift(found.final.integers, found.final.fraction, config.rounding)
        dropped = rounded & ((1 << config.cut_post) - 1) != 0
        yield "cut_post.drops_positive", dropped & (rounded > 0)
        yield "cut_post.drops_negative", dropped & (rounded < 0)


def _last_stages(config: NmpuConfig, batch: Batch, found: Trace) -> Bins:
    """Yield both ReLUs, the residual's alignment, the last rounding, the output's saturation and its flag."""
    entry, joined, final = found.entry, found.joined, found.final
    if entry is None or joined is None or final is None:
        return
    layer = batch.mode.layer
    for name, enabled, stage in (("relu_before", layer.relu_before, entry), ("relu_after", layer.relu_after, joined)):
        negative = np.asarray(stage.integers) < 0
        yield f"{name}.clips", negative & enabled
        yield f"{name}.passes", ~negative & enabled
        yield f"{name}.off", negative & (not enabled)
    if batch.mode.add_residual:
        operand = config.residual_scale.fraction + np.asarray(batch.columns.residual_shift)
        fraction = np.broadcast_to(np.asarray(entry.fraction), operand.shape)
        moved = (batch.words.residual * np.asarray(batch.columns.residual_scale)) != 0
        yield "residual.operand_finer", moved & (operand > fraction)
        yield "residual.sum_finer", moved & (operand < fraction)
        yield "residual.equally_fine", moved & (operand == fraction)
        yield "residual.turns_sign", (np.asarray(entry.integers) < 0) != (np.asarray(joined.integers) < 0)
    elif config.residual:
        yield "residual.ignored", (batch.words.residual * np.asarray(batch.columns.residual_scale)) != 0
    rounded = round_shift(final.integers, final.fraction, config.rounding)
    yield from _rounding("round", config.rounding.value, final.integers, final.fraction)
    kind = "int" if config.output.signed else "uint"
    limits = config.output.range
    cut = rounded >> config.cut_post
    yield from _saturation(f"output.{'sym' if config.output.symmetric else kind}", cut, limits)
    before = round_shift(joined.integers, joined.fraction, config.rounding) >> config.cut_post
    yield "flag.relu_hides_clip", (before < limits.lo) & layer.relu_after
    if batch.mode.receive or config.batch_norm:
        outside = (cut > limits.hi) | (cut < limits.lo)
        yield "flag.sum_alone", np.asarray(found.total != found.kept) & ~outside


def _sums(config: NmpuConfig, batch: Batch, found: Trace) -> Bins:
    """Yield the path a tile takes, the compression's rounding and the adder's saturation."""
    mode = batch.mode
    path = ("first" if not mode.receive else "middle") if not mode.last else "last" if mode.receive else "single"
    everywhere: Mask = np.ones(batch.words.first.shape, bool)
    if config.partial_sum:
        yield f"tile.{path}", everywhere
        yield "tile.received_ignored", everywhere & (not mode.receive) & (batch.words.received != 0)
        if not mode.last:
            busy = mode.layer.relu_before or mode.layer.relu_after or mode.add_residual
            yield "tile.last_stages_ignored", everywhere & busy
    if found.total is None:
        return
    dropped = np.asarray(found.affine.fraction) - config.sum_fraction
    yield from _rounding("compress", config.rounding.value, found.affine.integers, dropped)
    if config.partial_sum:
        yield from _saturation("sum.int8" if config.int8 else "sum.wide", found.total, config.sum_range)


def _shifts(config: NmpuConfig, batch: Batch) -> Bins:
    """Yield the layer shift's ends and both shifts at their largest."""
    if config.max_layer_shift:
        shift = np.broadcast_to(batch.mode.layer.shift, batch.words.first.shape)
        yield "layer_shift.zero", shift == 0
        yield "layer_shift.highest", shift == config.max_layer_shift
        if config.max_column_shift:
            deepest = np.asarray(batch.columns.shift) == config.max_column_shift
            yield "shift.both_highest", (shift == config.max_layer_shift) & deepest


def _affine(config: NmpuConfig, batch: Batch, found: Trace) -> Bins:
    """Yield the signs of T."""
    total: Fixed = found.affine
    values = np.asarray(total.integers)
    yield "affine.negative", values < 0
    yield "affine.zero", values == 0
    yield "affine.positive", values > 0
    limits = [config.affine_range(config.max_shift if deep else 0) for deep in (False, True)]
    shift = np.broadcast_to(np.asarray(batch.columns.shift) + batch.mode.layer.shift, values.shape)
    for name, bound in (("lowest", "lo"), ("highest", "hi")):
        ends = np.where(shift == 0, getattr(limits[0], bound), getattr(limits[1], bound))
        yield f"affine.{name}", (values == ends) & ((shift == 0) | (shift == config.max_shift))


def _flags(config: NmpuConfig, found: Trace, saturated: Mask) -> Bins:
    """Yield columns whose flag stays down, how close they come, and flags that outlive words that do not saturate."""
    raised = saturated.any(axis=0)
    if found.final is not None:
        floor = np.broadcast_to(found.final.integers >> found.final.fraction >> config.cut_post, saturated.shape)
        limits, code = config.output.range, np.broadcast_to(np.asarray(found.output.values), saturated.shape)
        yield "flag.down_at_low", ~raised & (code == limits.lo).any(axis=0)
        yield "flag.down_at_high", ~raised & (code == limits.hi).any(axis=0)
        yield "flag.down_rounded_in", ~raised & (floor == limits.lo - 1).any(axis=0)
    yield "flag.stays_down", ~raised
    yield "flag.up", raised
    yield "flag.sticky", raised & ~saturated[-1]


def count(config: NmpuConfig, given: Stimulus) -> Counter[str]:
    """Return how many elements of a stimulus fall in each bin; parameter bins count columns."""
    batch = batch_of(config, given)
    found = trace(config, batch)
    counted: Counter[str] = Counter()
    for part in (
        _parameters(config, batch.columns),
        _operands(config, batch),
        _affine(config, batch, found),
        _shifts(config, batch),
        _cuts(config, batch, found),
        _sums(config, batch, found),
        _last_stages(config, batch, found),
        _flags(config, found, np.broadcast_to(np.asarray(found.output.saturated), batch.words.first.shape)),
    ):
        for name, where in part:
            counted[name] += int(np.count_nonzero(where))
    return counted
