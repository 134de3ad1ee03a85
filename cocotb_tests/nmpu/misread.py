"""Misreadings of the NMPU's specification, each of which the bench must tell from the hardware.

A function of the golden model is replaced by a wrong one (a rounding constant, a saturation, a shift), and the sound
hardware must then disagree with it: on the very words that would show the same fault in the hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from cocotb_tests import contract
from golden_model import nmpu as golden
from golden_model.fixed import Format, Range, Rounding, round_shift, saturate
from golden_model.nmpu_config import NmpuConfig


def _rounded_as(mode: Rounding) -> Callable[..., Any]:
    return lambda value, bits, _: round_shift(value, bits, mode)


def _half_missing(value: Any, bits: Any, mode: Rounding) -> Any:
    half = (1 << np.asarray(bits)) >> 1
    return (value + half - (half != 0)) >> bits


def _wraps(value: Any, to: Format | Range) -> Any:
    limits = to.range if isinstance(to, Format) else to
    span = 1 << max(limits.signed_bits if limits.lo < 0 else limits.unsigned_bits, 1)
    return (value - limits.lo) % span + limits.lo


def _full_scale(value: Any, to: Format | Range) -> Any:
    limits = to.range if isinstance(to, Format) else to
    return saturate(value, Range(limits.lo - (limits.lo == -limits.hi), limits.hi))


def _affine_shifted(config: NmpuConfig, columns: Any, layer: Any, first: Any, second: Any = None) -> Any:
    total = _AFFINE(config, columns, layer, first, second)
    return golden.Fixed(total.integers, total.fraction - 1)


def _offset_unshifted(config: NmpuConfig, columns: Any, layer: Any, first: Any, second: Any = None) -> Any:
    total = _AFFINE(config, columns, layer, first, second)
    shift = layer.shift + columns.shift
    place = config.affine_fraction - config.offset.fraction
    return golden.Fixed(
        total.integers - (columns.offset << (place + shift)) + (columns.offset << place), total.fraction
    )


def _cut_after_difference(config: NmpuConfig, columns: Any, layer: Any, first: Any, second: Any = None) -> Any:
    total = _AFFINE(config, columns, layer, first, second)
    swap = (second - first) * columns.negate
    low = (1 << config.cut_pre) - 1
    added, taken = (first + swap) * columns.scale_p, (second - swap) * columns.scale_n
    lost = ((added - taken) & ~low) - ((added & ~low) - (taken & ~low))
    return golden.Fixed(total.integers + (lost << (config.affine_fraction - config.scale.fraction)), total.fraction)


def _sign_after_rounding(config: NmpuConfig, columns: Any, total: Any) -> Any:
    found = _BATCH_NORM(config, columns, total)
    return golden.Fixed(found.integers + columns.bn_negate, found.fraction)


def _residual_floored(config: NmpuConfig, columns: Any, total: Any, operand: Any) -> Any:
    product = operand * columns.residual_scale >> (config.residual_scale.fraction + columns.residual_shift)
    return golden.Fixed(total.integers + (product << total.fraction), total.fraction)


def _cut_before_rounding(config: NmpuConfig, total: Any) -> Any:
    low = (1 << (total.fraction + config.cut_post)) - 1
    return _REQUANTISE(config, golden.Fixed(total.integers & ~low, total.fraction))


def _never_flags(config: NmpuConfig, total: Any) -> Any:
    return golden.Output(_REQUANTISE(config, total).values, False)


def _sum_wraps(config: NmpuConfig, term: Any, received: Any) -> Any:
    kept = _wraps(term + received, config.sum_range)
    return golden.Output(kept, kept != term + received)


def _term_saturates(config: NmpuConfig, term: Any, received: Any) -> Any:
    return _ACCUMULATE(config, saturate(term, config.sum_range), received)


_AFFINE, _BATCH_NORM, _REQUANTISE, _ACCUMULATE = golden.affine, golden.batch_norm, golden.requantise, golden.accumulate

Misread = partial(contract.Misread, module=golden)

MISREADINGS: tuple[contract.Misread, ...] = (
    *(
        Misread(name=f"rounds by {mode.value}", case=case, replaced={"round_shift": _rounded_as(mode)})
        for case, right in (
            ("faulty_dual_1x4", Rounding.HALF_UP),
            ("dual_16x1", Rounding.HALF_EVEN),
            ("bn_after_4x2", Rounding.HALF_AWAY),
            ("bn_int8_2x2", Rounding.FLOOR),
        )
        for mode in Rounding
        if mode is not right
    ),
    Misread(name="rounding constant one too small", case="faulty_dual_1x4", replaced={"round_shift": _half_missing}),
    Misread(name="output wraps", case="faulty_every_2x2", replaced={"saturate": _wraps}),
    Misread(name="-2**(n-1) is a code of SYM n", case="faulty_every_2x2", replaced={"saturate": _full_scale}),
    Misread(name="partial sum wraps", case="faulty_every_2x2", replaced={"accumulate": _sum_wraps}),
    Misread(name="INT8 saturates before the add", case="int8_2x3", replaced={"accumulate": _term_saturates}),
    Misread(name="affine shift one too small", case="int8_2x3", replaced={"affine": _affine_shifted}),
    Misread(name="offset follows the shift", case="int8_2x3", replaced={"affine": _offset_unshifted}),
    Misread(name="cut behind the difference", case="faulty_every_2x2", replaced={"affine": _cut_after_difference}),
    Misread(
        name="batch norm negated with a carry", case="faulty_every_2x2", replaced={"batch_norm": _sign_after_rounding}
    ),
    Misread(name="residual product floored", case="faulty_every_2x2", replaced={"add_residual": _residual_floored}),
    Misread(
        name="cut_post before the rounding", case="faulty_every_2x2", replaced={"requantise": _cut_before_rounding}
    ),
    Misread(name="output clip raises no flag", case="faulty_every_2x2", replaced={"requantise": _never_flags}),
    Misread(name="ReLUs are left out", case="faulty_every_2x2", replaced={"relu": lambda total: total}),
)
"""What an engineer might read wrong in the specification."""
