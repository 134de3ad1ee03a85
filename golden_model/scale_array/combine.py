"""Behind the array: weight slices and row tiles shifted and added, and the total handed to the NMPU.

    total_c = sum over tiles t and slices k of 2^k * PS_tkc                 exact, no bit is lost
    y_c     = NMPU(total_c): scale_c / 2^shift with the layer's own scale, batch norm and 1 / output scale folded in

The paper leaves this part to ordinary shift-and-add units and a float batch norm; the hand-over is ours. Sums reach
+-2,100 with three slices and five tiles of A (576 rows), +-4,500 with four slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden_model.errors import UserError
from golden_model.fixed import Integers, Range
from golden_model.nmpu_config import Input, Layer, NmpuConfig
from golden_model.scale_array.config import ScaleArrayConfig


def combine(sums: Integers) -> Integers:
    """Return the totals of sums (..., tiles, slices, channels) as (..., channels): slice k weighs 2^k, tiles add.

    Slices are the magnitudes' bits of sign-magnitude differential weights: slice values in {-1, 0, 1}, so no slice is
    negative as the highest of two's complement would be.
    """
    weights = [1 << k for k in range(sums.shape[-2])]
    weigh = sums.new_tensor(weights) if hasattr(sums, "new_tensor") else np.array(weights, sums.dtype)
    return (sums * weigh[:, None]).sum((-3, -2))


def combined_range(config: ScaleArrayConfig, slices: int, tiles: int) -> Range:
    """Return what the total of `slices` slices and `tiles` tiles can be: +-2,100 for A with 3 and 5."""
    if slices < 1 or tiles < 1:
        raise UserError(f"{slices} slices, {tiles} tiles: a layer has at least 1 of each")
    one = config.sum_range if config.can_overflow else config.reach
    weight = ((1 << slices) - 1) * tiles
    return Range(one.lo * weight, one.hi * weight)


def unit_behind(config: ScaleArrayConfig, slices: int, tiles: int, **options: Any) -> NmpuConfig:
    """Return the NMPU that takes such totals: a signed code just wide enough (13 bits for +-2,100).

    `options` are other fields of its configuration. The layer shift goes to 15 by default: a scale of UQ(1,7) has 8
    bits, and totals of 13 or 14 bits become codes of 8.
    """
    bits = combined_range(config, slices, tiles).signed_bits
    chosen = {"partial_sum": False, "residual": False, "max_layer_shift": 15} | options
    return NmpuConfig(input=Input.CODE, input_bits=bits, **chosen)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folded:
    """A column's real factor as the NMPU stores it: (-1)^negate * scale * lsb / 2^shift."""

    layer: Layer
    """The layer shift."""
    scale: NDArray[np.int64]
    """Scale codes."""
    negate: NDArray[np.int64]
    """1 where the factor is negative."""
    clipped: int
    """Columns whose factor exceeds the format at shift 0, held at its largest."""
    vanished: int
    """Columns whose factor is not 0 and whose code is."""


def fold(unit: NmpuConfig, factors: ArrayLike) -> Folded:
    """Return real factors, one a column, as scales of the NMPU under the largest layer shift that holds them all.

    A factor is the layer's fixed-point step of the scale factors * batch-norm gain / output scale. Finite; a code is
    the nearest one, ties to even, so that a factor is off by at most half an LSB / 2^shift where nothing is clipped.
    """
    given = np.asarray(factors, np.float64)
    if not np.isfinite(given).all():
        raise UserError("factors have entries that are not finite: check the batch norm's variance and the scale step")
    top, size = unit.scale.range.hi, np.abs(given) / unit.scale.lsb
    largest = float(size.max(initial=0.0))
    shift = unit.max_layer_shift
    while shift and np.rint(largest * 2.0**shift) > top:
        shift -= 1
    codes = np.rint(size * 2.0**shift).astype(np.int64)
    kept = np.minimum(codes, top)
    return Folded(
        layer=Layer(shift=shift),
        scale=kept,
        negate=(given < 0).astype(np.int64),
        clipped=int((codes > top).sum()),
        vanished=int(((kept == 0) & (given != 0)).sum()),
    )
