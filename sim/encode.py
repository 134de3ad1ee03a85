"""Encoders: what the input lines of an array can carry."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from golden_model.fixed import SYM8, Format


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
