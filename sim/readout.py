"""Read-out: what a converter makes of a column's current."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from golden_model.errors import UserError
from golden_model.nmpu_config import Input
from sim.devices import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingConverter:
    """A current-controlled oscillator with ripple counters: floor(gain * current + offset), saturating (HERMES).

    One gain and one offset for each column and polarity, drawn once a converter. Gain spread 7.09 %, all within 21 %:
    JSSC 2022 (after trimming). 420 levels: "more than 420 in 128 ns". Offset 1 count: assumed, the paper gives none.
    """

    output: Input = Input.COUNTS
    """Two unsigned counts a column, or one signed code of the difference."""
    full_scale: int = 420
    """Largest count (smallest code: -full_scale - 1), reached at the layer's full-scale current."""
    gain_sigma: float = 0.0709
    """Relative standard deviation of the gain."""
    gain_limit: float = 0.21
    """Largest relative deviation of the gain."""
    offset_sigma: float = 1.0
    """Standard deviation of the offset, counts."""

    def __post_init__(self) -> None:
        if not 1 <= self.full_scale < 1 << 16:
            raise UserError(f"full_scale = {self.full_scale}: a converter counts to 1 .. 65535")
        if min(self.gain_sigma, self.gain_limit, self.offset_sigma) < 0 or self.gain_limit >= 1:
            raise UserError("gain_sigma and offset_sigma are 0 or more, gain_limit is 0 to below 1")

    @property
    def lines(self) -> int:
        """Return how many currents are converted for one column."""
        return 2 if self.output is Input.COUNTS else 1

    @property
    def bits(self) -> int:
        """Return the width of the count or of the signed code."""
        return self.full_scale.bit_length() + (self.output is Input.CODE)

    def draw(self, lines: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Return relative gains and offsets (counts) of `lines` converters."""
        spread = (self.gain_sigma * generator.standard_normal(lines)).clip(-self.gain_limit, self.gain_limit)
        return 1.0 + spread, self.offset_sigma * generator.standard_normal(lines)

    def convert(self, current: Tensor, gain: Tensor, offset: Tensor, noise: Tensor | None) -> Tensor:
        """Return counts (float32 integers): floor(current * gain + offset + noise), clipped to the range."""
        analog = current * gain + offset
        if noise is not None:
            analog = analog + noise
        low = 0 if self.output is Input.COUNTS else -self.full_scale - 1
        return torch.floor(analog).clip(low, self.full_scale)
