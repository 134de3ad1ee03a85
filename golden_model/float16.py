"""IEEE 754 binary16 arithmetic, correctly rounded (nearest, ties to even), subnormals kept: the specification.

Each operation is done in binary64 and rounded once: exact for products and sums of binary16 numbers, and correctly
rounded for the fused multiply-add too, whose binary64 sum is inexact only where the addend is so much larger than the
product that no binary16 tie is in reach. Every NaN that leaves is 0x7E00. `sim.float16` has the same names for torch.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from golden_model.fixed import Format

Halves = NDArray[np.float16]

NAN_BITS = 0x7E00
"""The one NaN: positive, quiet, no payload."""


class Arithmetic(Protocol):
    """What the FP16 unit needs of binary16: this module for numpy arrays, `sim.float16` for torch tensors."""

    def from_int(self, value: Any) -> Any:
        """Convert integers."""

    def negate(self, value: Any) -> Any:
        """Flip the sign bit."""

    def add(self, a: Any, b: Any) -> Any:
        """Return a + b."""

    def fused_multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c, rounded once."""

    def relu(self, value: Any) -> Any:
        """Return max(x, +0)."""

    def to_int(self, value: Any, output: Format) -> tuple[Any, Any]:
        """Round to integer codes."""


def _rounded(value: NDArray[np.float64]) -> Halves:
    """Return binary64 values rounded to binary16, NaNs canonical."""
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.asarray(value, dtype=np.float64).astype(np.float16)
    canonical: Halves = np.where(np.isnan(half), np.uint16(NAN_BITS).view(np.float16), half)
    return canonical


def _wide(value: Any) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return np.asarray(value, dtype=np.float16).astype(np.float64)


def from_float(value: Any) -> Halves:
    """Return the binary16 numbers nearest to real values (a parameter of the unit, say)."""
    return _rounded(np.asarray(value, dtype=np.float64))


def from_int(value: Any) -> Halves:
    """Return integers as binary16: inexact above 2,048 (1,024 of the 4,096 12-bit counts), infinite from 65,520."""
    return _rounded(np.asarray(value).astype(np.float64))


def negate(value: Any) -> Halves:
    """Return the number with its sign bit flipped, whatever it is."""
    half = np.asarray(value, dtype=np.float16)
    return (half.view(np.uint16) ^ np.uint16(0x8000)).view(np.float16)


def add(a: Any, b: Any) -> Halves:
    """Return a + b, correctly rounded."""
    with np.errstate(invalid="ignore"):
        return _rounded(_wide(a) + _wide(b))


def multiply(a: Any, b: Any) -> Halves:
    """Return a * b, correctly rounded."""
    with np.errstate(invalid="ignore"):
        return _rounded(_wide(a) * _wide(b))


def fused_multiply_add(a: Any, b: Any, c: Any) -> Halves:
    """Return a * b + c with one rounding; checked against exact integers in the tests."""
    with np.errstate(invalid="ignore"):
        return _rounded(_wide(a) * _wide(b) + _wide(c))


def relu(value: Any) -> Halves:
    """Return x where x > 0, NaN where x is NaN, else +0 (also for -0)."""
    wide = _wide(value)
    return _rounded(np.where((wide > 0) | np.isnan(wide), wide, 0.0))


def to_int(value: Any, output: Format) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return codes rounded to nearest even and saturated, and where that failed: saturation, infinity, NaN (-> 0)."""
    wide = _wide(value)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        rounded = np.rint(wide)
    limits = output.range
    codes = np.clip(np.nan_to_num(rounded, nan=0.0), limits.lo, limits.hi).astype(np.int64)
    return codes, np.asarray(codes != rounded)
