"""What is fixed when a scale-factor array is built: geometry, widths, and the order in which its rows are worked on.

    scale words of one stream: columns * scale_bits bits = scale_bits rows      (16 rows for four streams of 4 bits)
    partial sums:              columns * sum_bits bits   = sum_bits rows        (8 rows; 24 x 128 in all)

Words lie horizontally, one bit a column, lowest bit in the lowest column. A partial sum is `passes` = sum_bits /
scale_bits times as wide as a scale word, so that a row of scales is added in that many passes: pass q takes the words
w with w % passes = q, whose sums lie in row passes * r + q, shifted by q * scale_bits columns and wrapping at the edge.
"""

from __future__ import annotations

from dataclasses import dataclass

from golden_model.errors import UserError
from golden_model.fixed import Range

PIPELINE = 3
"""Cycles of one operation: read, compute, store. A row may be read again only that many cycles later (paper)."""


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} = {value}: allowed are {low} to {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleArrayConfig:
    """What is fixed when the array is built. The golden model and the RTL take the same object; the default is A.

    Refuses (UserError) words that do not fill rows, and geometries in which a row would be read again before the sum
    from its last read is stored: the distance is `sum_bits` cycles, at least `PIPELINE` are needed.
    """

    columns: int = 128
    """Columns of the array, and of the crossbar above it: one partial sum each. A whole number of sum words."""
    streams: int = 4
    """Input bits: scale factors a column, 1 to 16."""
    scale_bits: int = 4
    """Width of a scale factor, unsigned, with the input bit's 2^j folded in, 1 to 16 bits."""
    sum_bits: int = 8
    """Width of a partial sum, two's complement: a multiple of `scale_bits`, at least twice it."""
    counter_bits: int = 32
    """Width of each activity counter, 4 to 48 bits; they wrap."""

    def __post_init__(self) -> None:
        _within("streams", self.streams, 1, 16)
        _within("scale_bits", self.scale_bits, 1, 16)
        _within("counter_bits", self.counter_bits, 4, 48)
        if self.sum_bits % self.scale_bits or not 2 * self.scale_bits <= self.sum_bits <= 48:
            raise UserError(
                f"sum_bits = {self.sum_bits}: a multiple of scale_bits = {self.scale_bits}, at least "
                f"{2 * self.scale_bits} and at most 48, since a sum shares the columns of whole scale words"
            )
        if self.reread_distance < PIPELINE:
            raise UserError(
                f"sum_bits = {self.sum_bits}: a row of sums would be read again after {self.reread_distance} cycles, "
                f"before its sum is stored; at least {PIPELINE} sum bits keep read, compute and store apart"
            )
        if not self.sum_bits <= self.columns or self.columns % self.sum_bits:
            raise UserError(
                f"columns = {self.columns}: a whole number of {self.sum_bits}-bit sums, for example "
                f"{max(1, round(self.columns / self.sum_bits)) * self.sum_bits}"
            )

    @property
    def passes(self) -> int:
        """Return in how many passes a row of scales is added: 2, the paper's odd and even words, for A, B and wide."""
        return self.sum_bits // self.scale_bits

    @property
    def words(self) -> int:
        """Return the scale words of a row: 32 for A."""
        return self.columns // self.scale_bits

    @property
    def lanes(self) -> int:
        """Return the partial sums of a row, which one slot works on side by side: 16 for A."""
        return self.columns // self.sum_bits

    @property
    def scale_rows(self) -> int:
        """Return the rows of scale factors: 16 for A."""
        return self.streams * self.scale_bits

    @property
    def rows(self) -> int:
        """Return the rows in all: 24 for A and B, 40 for the wide one."""
        return self.scale_rows + self.sum_bits

    @property
    def slots(self) -> int:
        """Return the cycles in which a stream's rows are read, one row and pass each: 8 for A. It is `sum_bits`."""
        return self.scale_bits * self.passes

    @property
    def reread_distance(self) -> int:
        """Return after how many cycles a row of sums is read again: a stream touches each of its rows once."""
        return self.slots

    @property
    def cycles(self) -> int:
        """Return the cycles from an accepted first stream to the last sum: 34 for A and B, 50 for the wide one."""
        return self.streams * self.slots + PIPELINE - 1

    @property
    def scale_range(self) -> Range:
        """Return what a scale factor can be."""
        return Range(0, (1 << self.scale_bits) - 1)

    @property
    def sum_range(self) -> Range:
        """Return what a partial sum can be."""
        return Range(-(1 << (self.sum_bits - 1)), (1 << (self.sum_bits - 1)) - 1)

    @property
    def reach(self) -> Range:
        """Return what the exact sums can be: +-60 for A, +-765 for the wide one."""
        return Range(-self.streams * self.scale_range.hi, self.streams * self.scale_range.hi)

    @property
    def can_overflow(self) -> bool:
        """Return whether some scales and codes leave `sum_range`; impossible for A, B and the wide one."""
        return self.reach.hi > self.sum_range.hi


HCIM_A = ScaleArrayConfig()
"""128 columns, four streams, 4-bit scales, 8-bit sums: 24 x 128 (paper, Table 1)."""
HCIM_B = ScaleArrayConfig(columns=64)
"""64 columns: 24 x 64 (paper, Table 1)."""
HCIM_WIDE = ScaleArrayConfig(streams=3, scale_bits=8, sum_bits=16)
"""Three streams, 8-bit scales, 16-bit sums (paper, ImageNet): 40 x 128 (inferred from the widths)."""
