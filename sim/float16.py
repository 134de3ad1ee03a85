"""binary16 arithmetic on torch tensors, bit for bit `golden_model.float16`: the kernels of the FP16 unit.

Halves travel as float32 tensors that hold binary16 values, because a float32 register is what the processor computes
in; `to_half` packs them. The fused multiply-add is: float32 product (exact: 22 bits), error-free sum (TwoSum), rounding
to odd, one rounding to binary16. Two roundings, as in torch's float64 -> half or `addcmul`, go wrong near ties.
"""

from __future__ import annotations

import torch
from torch import Tensor

from golden_model.fixed import Format
from golden_model.float16 import NAN_BITS


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
    # Round to odd: where float32 lost something, take of its two neighbours the one with an odd last bit.
    bits = total.view(torch.int32)
    odd = (bits - ((error > 0) != (total > 0)).to(torch.int32)) | 1
    inexact = (error != 0) & (error == error)
    return _round(torch.where(inexact, odd, bits).view(torch.float32))


def relu(value: Tensor) -> Tensor:
    """Return x where x > 0, NaN where x is NaN, else +0."""
    return torch.where((value > 0) | (value != value), value, 0.0)


def to_int(value: Tensor, output: Format) -> tuple[Tensor, Tensor]:
    """Return codes (int32) rounded to nearest even and saturated, and where that failed (NaN leaves as 0)."""
    rounded = torch.round(value)
    finite = torch.where(rounded != rounded, 0.0, rounded)
    codes = finite.clip(output.range.lo, output.range.hi)
    return codes.to(torch.int32), codes != rounded
