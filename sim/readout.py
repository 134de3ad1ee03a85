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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparator:
    """Comparators instead of a converter: p = +1, 0 or -1 of a column sum (HCiM, Eq. 1); one of them, or two.

    ternary: +1 from the layer's threshold on, -1 down from its negative, both inclusive, else 0
    binary:  +1 from 0 on, else -1
    """

    ternary: bool = True
    """Two comparators a column; one if false."""
    offset_sigma: float = 0.0
    """Standard deviation of a comparator's offset, cells; an option of ours, drawn once a comparator."""

    def __post_init__(self) -> None:
        if self.offset_sigma < 0:
            raise UserError(f"offset_sigma = {self.offset_sigma}: 0 or more")

    def bounds(self, threshold: int, shape: tuple[int, ...], generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Return (a, b), integers: p = +1 where sum >= a, -1 where sum <= b, for comparators of this shape."""
        if self.ternary and threshold < 1:
            raise UserError(f"threshold = {threshold}: two comparators need at least 1, or they contradict each other")
        upper, lower = self.offset_sigma * generator.standard_normal((2, *shape))
        if not self.ternary:
            least: Floats = np.ceil(upper)
            return least, least - 1
        a, b = np.ceil(threshold + upper), np.floor(lower - threshold)
        return a, np.minimum(b, a - 1)  # where offsets cross, the upper comparator wins: no illegal code
