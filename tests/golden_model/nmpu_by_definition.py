"""The NMPU written down a second time, from its equations alone: one element, exact rationals, no shared code.

Every quantity is a Fraction in output LSB, so nothing here knows of alignments, widths or bit tricks; the only losses
are `rounded`, `clipped` and the floor of a cut. The tests hold the golden model to it, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import floor

from golden_model.fixed import Format, Rounding
from golden_model.nmpu_config import Input, NmpuConfig


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column's parameters: plain integer codes."""

    scale_p: int = 0
    scale_n: int = 0
    offset: int = 0
    shift: int = 0
    negate: int = 0
    bn_scale: int = 0
    bn_offset: int = 0
    bn_shift: int = 0
    bn_negate: int = 0
    residual_scale: int = 0
    residual_shift: int = 0


def rounded(value: Fraction, mode: Rounding) -> int:
    if mode is Rounding.FLOOR:
        return floor(value)
    if mode is Rounding.HALF_UP:
        return floor(value + Fraction(1, 2))
    if mode is Rounding.HALF_EVEN:
        return round(value)  # of a Fraction: exact, ties to even
    away = floor(abs(value) + Fraction(1, 2))
    return away if value >= 0 else -away


def codes(form: Format) -> tuple[int, int]:
    """Return the smallest and the largest code of a format."""
    bits = form.integer + form.fraction
    if not form.signed:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + form.symmetric, 2 ** (bits - 1) - 1


def clipped(value: int, low: int, high: int) -> tuple[int, bool]:
    return min(max(value, low), high), not low <= value <= high


def cut(product: int, bits: int) -> int:
    """Drop the low bits towards minus infinity; the others keep their weight."""
    return product // 2**bits * 2**bits


def entries(config: NmpuConfig) -> tuple[int, int]:
    """Return the smallest and the largest count or code."""
    if config.input is Input.COUNTS:
        return 0, 2**config.input_bits - 1
    return -(2 ** (config.input_bits - 1)), 2 ** (config.input_bits - 1) - 1


def affine(config: NmpuConfig, column: Column, k: int, first: int, second: int) -> Fraction:
    """Return T / 2**(7 + k), in output LSB."""
    if config.input is Input.COUNTS:
        added, subtracted = (second, first) if column.negate else (first, second)
        products = cut(added * column.scale_p, config.cut_pre) - cut(subtracted * column.scale_n, config.cut_pre)
    else:
        products = cut((-first if column.negate else first) * column.scale_p, config.cut_pre)
    return Fraction(products, 2 ** (config.scale.fraction + k)) + Fraction(column.offset, 2**config.offset.fraction)


@cache
def affine_ends(config: NmpuConfig, k: int) -> tuple[Fraction, Fraction]:
    """Return the extremes of `affine`, found by trying the extremes of all that goes in."""
    low, high = entries(config)
    values = [
        affine(config, Column(scale_p=s_p, scale_n=s_n, offset=o, negate=negate), k, first, second)
        for s_p in codes(config.scale)
        for s_n in codes(config.scale)
        for o in codes(config.offset)
        for negate in (0, 1)
        for first in (low, high)
        for second in (low, high)
    ]
    return min(values), max(values)


def fraction_of_sums(config: NmpuConfig) -> int:
    return 0 if config.int8 else config.guard


@cache
def sums(config: NmpuConfig) -> tuple[int, int]:
    """Return the ends of the partial-sum port: two's complement, just wide enough for `max_tiles` terms."""
    if config.int8:
        return -128, 127
    ends = [rounded(end * 2**config.guard, config.rounding) * config.max_tiles for end in affine_ends(config, 0)]
    bits = 1
    while not (-(2 ** (bits - 1)) <= min(0, *ends) and max(0, *ends) <= 2 ** (bits - 1) - 1):
        bits += 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def batch_norm_ends(config: NmpuConfig, shift: int) -> tuple[Fraction, Fraction]:
    """Return the extremes of a batch norm's result at one shift."""
    scale = Fraction(codes(config.bn_scale)[1], 2 ** (config.bn_scale.fraction + shift))
    largest = max(-end for end in sums(config)) * scale / 2 ** fraction_of_sums(config)
    low, high = (Fraction(code, 2**config.bn_offset.fraction) for code in codes(config.bn_offset))
    return low - largest, high + largest  # the most negative sum, either sign


def last_ends(config: NmpuConfig) -> list[tuple[Fraction, Fraction, int]]:
    """Return extremes and fraction bits of what the last rounding may meet, for every setting of every shift."""
    ends = [(*affine_ends(config, k), config.affine_fraction + k) for k in range(config.max_shift + 1)]
    if config.partial_sum:
        fraction = fraction_of_sums(config)
        low, high = (Fraction(end, 2**fraction) for end in sums(config))
        ends.append((low, high, fraction))
    if config.batch_norm:
        fraction = max(fraction_of_sums(config) + config.bn_scale.fraction, config.bn_offset.fraction)
        ends = [(*batch_norm_ends(config, shift), fraction + shift) for shift in range(config.max_bn_shift + 1)]
    if config.residual:
        operands = [code * scale for code in codes(config.residual_input) for scale in codes(config.residual_scale)]
        fractions = [config.residual_scale.fraction + shift for shift in range(config.max_residual_shift + 1)]
        ends += [
            (low + Fraction(min(operands), 2**other), high + Fraction(max(operands), 2**other), max(fraction, other))
            for low, high, fraction in ends
            for other in fractions
        ]
    return ends


def nmpu(
    config: NmpuConfig,
    column: Column,
    first: int,
    second: int = 0,
    *,
    layer_shift: int = 0,
    relu_before: bool = False,
    relu_after: bool = False,
    received: int | None = None,
    residual: int | None = None,
    last: bool = True,
) -> tuple[int, bool]:
    """Return what leaves the unit for one element, and whether anything saturated."""
    value = affine(config, column, layer_shift + column.shift, first, second)
    flag = False
    if received is not None or not last or config.batch_norm:
        scale = 2 ** fraction_of_sums(config)
        term = rounded(value * scale, config.rounding)
        total, flag = clipped((received or 0) + term, *sums(config))
        if not last:
            return total, flag
        value = Fraction(total, scale)
    if config.batch_norm:
        product = value * Fraction(column.bn_scale, 2 ** (config.bn_scale.fraction + column.bn_shift))
        offset = Fraction(column.bn_offset, 2**config.bn_offset.fraction)
        value = offset - product if column.bn_negate else offset + product
    if relu_before:
        value = max(value, Fraction(0))
    if residual is not None:
        fraction = config.residual_scale.fraction + column.residual_shift
        value += residual * Fraction(column.residual_scale, 2**fraction)
    if relu_after:
        value = max(value, Fraction(0))
    code, clip = clipped(rounded(value, config.rounding) // 2**config.cut_post, *codes(config.output))
    return code, flag or clip
