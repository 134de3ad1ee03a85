"""Encoders: what the input lines of an array can carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from golden_model.errors import UserError
from golden_model.fixed import SYM8, Format

PERCENTILE = 99.99
"""Percentile of magnitudes that takes the largest code, unless a calibration says another."""


def percentile_scale(magnitudes: Tensor, percentile: float) -> float:
    """Return the percentile of |values| (an order statistic, so exact in any order); 1 where all are 0."""
    flat = magnitudes.abs().flatten().cpu().numpy()
    rank = min(max(int(np.ceil(len(flat) * percentile / 100)), 1), len(flat))
    return float(np.partition(flat, rank - 1)[rank - 1]) or 1.0  # many times faster than torch's kthvalue


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseWidth:
    """Pulse-width modulation of sign and magnitude: codes -127 .. 127, one time step an LSB (HERMES, JSSC 2022).

    A signed input takes four phases (two signs of input, two of weight); a non-negative one needs two.
    """

    codes: Format = SYM8
    """The codes that a line carries."""

    def encode(self, values: Tensor, scale: float) -> Tensor:
        """Return the codes (float32 integers) of real values: saturate(floor(v / scale + 1/2))."""
        return torch.floor(values / scale + 0.5).clip(self.codes.range.lo, self.codes.range.hi)


@dataclass(frozen=True, slots=True, kw_only=True)
class BitSerial:
    """A 1-bit converter a row: codes 0 .. 2^bits - 1, one bit a stream, lowest first (HCiM)."""

    bits: int = 4
    """Bits of an input code, 1 to 8."""

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise UserError(f"bits = {self.bits}: an input code has 1 to 8 bits")

    @property
    def largest(self) -> int:
        """Return the largest code."""
        return (1 << self.bits) - 1

    def encode(self, values: Tensor, scale: float) -> Tensor:
        """Return the codes (float32 integers) of real values: saturate(floor(v / scale + 1/2)); negatives give 0."""
        return torch.floor(values / scale + 0.5).clip(0, self.largest)
