"""binary16 arithmetic on torch tensors, bit for bit `golden_model.float16`: the kernels of the FP16 unit.

Halves travel as float32 tensors that hold binary16 values, because a float32 register is what the processor computes
in; `to_half` packs them. The fused multiply-add is: float32 product (exact: 22 bits), error-free sum (TwoSum), and
one rounding to binary16 that looks at the sum's error where the sum itself lies half way. Two roundings, as in torch's
float64 -> half or `addcmul`, go wrong there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from golden_model.fixed import Format
from golden_model.float16 import NAN_BITS

LARGEST, OVERFLOW = 65504.0, 65520.0
"""The largest binary16, and half way from there to what would follow: from here on a result is infinite."""


def to_half(value: Tensor) -> Tensor:
    """Return the halves of a float32 carrier, NaNs canonical (0x7E00)."""
    half = value.to(torch.float16)
    return torch.where(half.isnan(), torch.tensor(NAN_BITS, dtype=torch.int16).view(torch.float16), half)


def _round(value: Tensor) -> Tensor:
    """Return a float32 rounded to the nearest binary16 (ties to even), in its float32 carrier.

    A compiled kernel drops float32 -> float16 -> float32 as redundant unless told not to: `sim.kernels.fuse` tells it.
    """
    return value.to(torch.float16).to(torch.float32)


def from_int(value: Tensor) -> Tensor:
    """Return integers below 2**24 as binary16 in float32 carriers."""
    return _round(value.to(torch.float32))


def negate(value: Tensor) -> Tensor:
    """Return the number with its sign flipped."""
    return -value


def add(a: Tensor, b: Tensor) -> Tensor:
    """Return a + b; float32 has more than twice the digits and two, so its rounding does no harm."""
    return _round(a + b)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return a * b, correctly rounded: the float32 product is exact."""
    return _round(a * b)


def fused_multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return a * b + c with one rounding."""
    product = a * b
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    # The exact sum, total + error, rounds as total does but where total is a tie: ties are float32 numbers, so that
    # nothing else lies between them and it. There the error decides; rest is exact, and so is the other neighbour.
    near = _round(total)
    rest = total - near
    other = near + (rest + rest)
    away = (_round(other) == other) & (rest * error > 0)
    below = (total.abs() == OVERFLOW) & (total * error < 0)  # this tie's other neighbour is no number, but infinity
    return torch.where(below, torch.copysign(torch.full_like(total, LARGEST), total), torch.where(away, other, near))


def relu(value: Tensor) -> Tensor:
    """Return x where x > 0, NaN where x is NaN, else +0."""
    return torch.where((value > 0) | (value != value), value, 0.0)


def to_int(value: Tensor, output: Format) -> tuple[Tensor, Tensor]:
    """Return codes (int32) rounded to nearest even and saturated, and where that failed (NaN leaves as 0)."""
    rounded = torch.round(value)
    finite = torch.where(rounded != rounded, 0.0, rounded)
    codes = finite.clip(output.range.lo, output.range.hi)
    return codes.to(torch.int32), codes != rounded
