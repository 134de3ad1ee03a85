"""The near-memory processing unit, bit for bit, stage by stage.

    affine -> compress -> accumulate -> batch norm -> ReLU -> add residual -> ReLU -> requantise

Every function works on numpy integer arrays and on torch integer tensors alike, element by element, with parameters
that broadcast against the data. Intermediate widths are derived in `nmpu_config`; bits are lost in `round_shift` and
`saturate` alone. Formats: the paper's (arXiv 2402.07549); the stage order and every corner: ours, since the paper's
body could not be read (docs/units/nmpu.md says which is which).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from golden_model.errors import UserError
from golden_model.fixed import Integers, round_shift, saturate
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig


class Fixed(NamedTuple):
    """Integers with their number of fraction bits: the value is integers / 2**fraction."""

    integers: Any
    fraction: Any


class Output(NamedTuple):
    """What leaves the unit: codes or partial sums, and where something saturated."""

    values: Any
    """Output codes of a last tile; else partial sums, in output LSB / 2**sum_fraction."""
    saturated: Any
    """True where this element saturated; the hardware's sticky flag is the OR over a column's words."""


def _affine(product: Integers, fraction: int, offset: Any, offset_fraction: int, shift: Any) -> Fixed:
    """Return product / 2**(fraction + shift) + offset / 2**offset_fraction, exact, at the finer fraction + shift."""
    finer = max(fraction, offset_fraction)
    return Fixed((product << (finer - fraction)) + (offset << (shift + (finer - offset_fraction))), finer + shift)


def affine(
    config: NmpuConfig, columns: Columns, layer: Layer, first: Integers, second: Integers | None = None
) -> Fixed:
    """Correct one tile's read-out: T = cut(cnt_p * s_p) - cut(cnt_n * s_n) + (o << (6 + k)), for the default formats.

    `first`, `second`: the counts (COUNTS), or the signed code and None (CODE). T / 2**(7 + k) is in output LSB, exact.
    """
    if config.input is Input.COUNTS:
        swap = (second - first) * columns.negate
        added, taken = (first + swap) * columns.scale_p, (second - swap) * columns.scale_n
        product = (added >> config.cut_pre << config.cut_pre) - (taken >> config.cut_pre << config.cut_pre)
    else:
        product = (first - 2 * first * columns.negate) * columns.scale_p >> config.cut_pre << config.cut_pre
    return _affine(product, config.scale.fraction, columns.offset, config.offset.fraction, layer.shift + columns.shift)


def compress(config: NmpuConfig, total: Fixed) -> Integers:
    """Round T to a partial sum's fraction: c = round_shift(T, 7 + k - g) for the default formats."""
    return round_shift(total.integers, total.fraction - config.sum_fraction, config.rounding)


def accumulate(config: NmpuConfig, term: Integers, received: Any) -> Output:
    """Add a compressed term to the partial sum of the tile before (0 for the first), saturating to `sum_range`."""
    total = term + received
    kept = saturate(total, config.sum_range)
    return Output(kept, kept != total)


def batch_norm(config: NmpuConfig, columns: Columns, total: Integers) -> Fixed:
    """Apply the column's batch norm to a partial sum, unrounded: +-(sum * scale) / 2**shift + offset."""
    product = total * columns.bn_scale
    signed = product - 2 * product * columns.bn_negate
    fraction = config.sum_fraction + config.bn_scale.fraction
    return _affine(signed, fraction, columns.bn_offset, config.bn_offset.fraction, columns.bn_shift)


def relu(total: Fixed) -> Fixed:
    """Return max(x, 0)."""
    return Fixed(total.integers.clip(0, None), total.fraction)


def add_residual(config: NmpuConfig, columns: Columns, total: Fixed, operand: Integers) -> Fixed:
    """Add operand * scale / 2**shift, exact: the sum keeps the finer of the two fractions."""
    product = operand * columns.residual_scale
    finer = config.residual_scale.fraction + columns.residual_shift - total.fraction
    finer_up, finer_down = finer * (finer > 0), -finer * (finer < 0)
    return Fixed((total.integers << finer_up) + (product << finer_down), total.fraction + finer_up)


def requantise(config: NmpuConfig, total: Fixed) -> Output:
    """Round to the output LSB, drop `cut_post` bits, saturate: y = saturate(round_shift(x, fraction) >> cut_post)."""
    rounded = round_shift(total.integers, total.fraction, config.rounding) >> config.cut_post
    code = saturate(rounded, config.output)
    return Output(code, code != rounded)


def nmpu(
    config: NmpuConfig,
    columns: Columns,
    layer: Layer,
    first: Integers,
    second: Integers | None = None,
    *,
    received: Any = None,
    residual: Any = None,
    last: bool = True,
) -> Output:
    """Process one tile's read-out: output codes from the last tile of a column, partial sums from the others.

    `received`: the partial sum of the tile before, None for the first tile. `residual`: the operand to add, None for
    none. `last=False` ends after the accumulation; logits leave that way too, from the last tile. A column of one tile
    skips the compression and is rounded once, unless batch norm is a stage of its own. The caller's integers must hold
    `config.widest_bits` bits: arrays of a narrower type would wrap.
    """
    if not config.partial_sum and (received is not None or not last):
        raise UserError("a column of several tiles, or logits, needs a unit with partial_sum = true")
    if not config.residual and residual is not None:
        raise UserError("a residual operand needs a unit with residual = true")
    if config.input is Input.COUNTS and second is None:
        raise UserError("this unit takes two counts: pass first and second, or build it with input = Input.CODE")
    total = affine(config, columns, layer, first, second)
    saturated: Any = False
    if received is not None or not last or config.batch_norm:
        summed = accumulate(config, compress(config, total), 0 if received is None else received)
        if not last:
            return summed
        saturated = summed.saturated
        total = (
            batch_norm(config, columns, summed.values)
            if config.batch_norm
            else Fixed(summed.values, config.sum_fraction)
        )
    if layer.relu_before:
        total = relu(total)
    if residual is not None:
        total = add_residual(config, columns, total, residual)
    if layer.relu_after:
        total = relu(total)
    output = requantise(config, total)
    return Output(output.values, output.saturated | saturated)
