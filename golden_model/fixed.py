"""Fixed-point numbers: formats, ranges, and the only two places where a bit is lost.

Values are integers; a format says where the point is. `round_shift` and `saturate` use operators that numpy arrays and
torch integer tensors share, so the simulator runs these very functions. Source of the notation: Amaranth's fixed-point
RFC (SQ counts the sign bit as an integer bit).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import numpy as np

from golden_model.errors import UserError

Integers: TypeAlias = Any
"""An int, a numpy integer array or a torch integer tensor; a function returns the kind it was given."""

Bits: TypeAlias = Any
"""A shift distance: an int, or an integer array that broadcasts against the values (one distance a column)."""


class Rounding(Enum):
    """What becomes of the bits that `round_shift` drops. The default everywhere is half up."""

    FLOOR = "floor"
    """Towards minus infinity: drop the bits."""
    HALF_UP = "half_up"
    """To nearest, ties towards plus infinity: add half, then floor. One carry-in of hardware."""
    HALF_EVEN = "half_even"
    """To nearest, ties to the even neighbour (IEEE 754's default)."""
    HALF_AWAY = "half_away"
    """To nearest, ties away from zero."""


def round_shift(value: Integers, bits: Bits, mode: Rounding) -> Integers:
    """Return value / 2**bits rounded to an integer by `mode`; `round_shift(v, 0, mode) == v`.

    `value` needs one spare bit above its own range (the half that is added); `bits` >= 0, an int or per element.
    """
    if isinstance(bits, int):
        if bits < 0:
            raise UserError(f"round_shift by {bits} bits: a shift is 0 or more; bits are lost, never invented")
        if bits == 0:
            return value
    if mode is Rounding.FLOOR:
        return value >> bits
    half = (1 << bits) >> 1  # 0 where bits is 0: nothing is added and nothing is dropped
    if mode is Rounding.HALF_EVEN:
        half = half - ((half != 0) & (((value >> bits) & 1) ^ 1))
    elif mode is Rounding.HALF_AWAY:
        below = ((1 << bits) - 1) >> 1  # half, less one: a negative tie stays below it
        return (value + below + ((bits > 0) & (value >= 0))) >> bits  # value first: torch then keeps int32
    return (value + half) >> bits


@dataclass(frozen=True, slots=True)
class Range:
    """The integers from `lo` to `hi`, both included: every intermediate width is derived from one.

    The arithmetic is interval arithmetic, exact at both ends, so that a width computed here can never overflow.
    """

    lo: int
    hi: int

    def __add__(self, other: Range) -> Range:
        return Range(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: Range) -> Range:
        return Range(self.lo - other.hi, self.hi - other.lo)

    def __mul__(self, other: Range) -> Range:
        ends = [a * b for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Range(min(ends), max(ends))

    def __neg__(self) -> Range:
        return Range(-self.hi, -self.lo)

    def __or__(self, other: Range) -> Range:
        """Return the smallest range that holds both."""
        return Range(min(self.lo, other.lo), max(self.hi, other.hi))

    def __lshift__(self, bits: int) -> Range:
        return Range(self.lo << bits, self.hi << bits)

    def round_shift(self, bits: int, mode: Rounding) -> Range:
        """Return the range of `round_shift` over this range (rounding is monotonic)."""
        return Range(round_shift(self.lo, bits, mode), round_shift(self.hi, bits, mode))

    def relu(self) -> Range:
        """Return the range of max(x, 0)."""
        return Range(max(self.lo, 0), max(self.hi, 0))

    @property
    def signed_bits(self) -> int:
        """Return the width of the two's-complement number that holds every value: 12 x 8 lanes need 22 for T."""
        return 1 + max(self.hi, -1 - self.lo, 0).bit_length()

    @property
    def unsigned_bits(self) -> int:
        """Return the width of the unsigned number that holds every value; at least 1."""
        return max(self.hi.bit_length(), 1)


@dataclass(frozen=True, slots=True)
class Format:
    """A fixed-point format of `integer` + `fraction` bits; a signed one counts its sign as an integer bit.

    `symmetric` leaves out the most negative code: SYM8 is -127..127, what a sign + 7-bit encoder can send.
    """

    signed: bool
    integer: int
    fraction: int
    symmetric: bool = False

    def __post_init__(self) -> None:
        if self.fraction < 0 or self.integer < 0 or not 1 <= self.integer + self.fraction <= 32:
            raise UserError(f"format {self}: integer and fraction bits are 0 or more and together 1 to 32")
        if self.signed and (self.integer < 1 or self.bits < 2):
            raise UserError(f"format {self}: a signed format needs its sign bit and one more")
        if self.symmetric and not self.signed:
            raise UserError(f"format {self}: only a signed format can be symmetric")

    def __str__(self) -> str:
        name = "SYM" if self.symmetric else "SQ" if self.signed else "UQ"
        return f"{name}({self.integer},{self.fraction})"

    @property
    def bits(self) -> int:
        """Return the width in bits."""
        return self.integer + self.fraction

    @property
    def range(self) -> Range:
        """Return the codes that the format holds."""
        if not self.signed:
            return Range(0, (1 << self.bits) - 1)
        top = (1 << (self.bits - 1)) - 1
        return Range(-top if self.symmetric else -top - 1, top)

    @property
    def lsb(self) -> float:
        """Return the value of code 1."""
        return 2.0**-self.fraction

    @property
    def largest(self) -> float:
        """Return the largest value: 1.9921875 for UQ(1,7), 63.5 for SQ(7,1)."""
        return self.range.hi * self.lsb

    def values(self, codes: Any) -> Any:
        """Return the real values (float64) of integer codes."""
        return np.asarray(codes, dtype=np.float64) * self.lsb

    @staticmethod
    def parse(text: str) -> Format:
        """Return the format written as `UQ(1,7)`, `SQ(7,1)`, `SYM8`, `INT8` or `UINT4`."""
        compact = text.replace(" ", "").upper()
        try:
            if compact.startswith(("UQ(", "SQ(", "SYM(")) and compact.endswith(")"):
                kind, _, inside = compact[:-1].partition("(")
                integer, fraction = (int(part) for part in inside.split(","))
                return Format(kind != "UQ", integer, fraction, kind == "SYM")
            for kind, signed, symmetric in (("UINT", False, False), ("SYM", True, True), ("INT", True, False)):
                if compact.startswith(kind):
                    return Format(signed, int(compact.removeprefix(kind)), 0, symmetric)
        except UserError:
            raise
        except ValueError:
            pass
        raise UserError(f"format {text!r}: write UQ(1,7), SQ(7,1), SYM8, INT8 or UINT4, for example")


def UQ(integer: int, fraction: int) -> Format:
    """Return the unsigned format with `integer` + `fraction` bits: UQ(1,7) holds 0 .. 1.9921875."""
    return Format(False, integer, fraction)


def SQ(integer: int, fraction: int) -> Format:
    """Return the signed format; its sign is one of the integer bits: SQ(7,1) holds -64 .. 63.5."""
    return Format(True, integer, fraction)


INT8 = SQ(8, 0)
SYM8 = Format(True, 8, 0, symmetric=True)


def saturate(value: Integers, to: Format | Range) -> Integers:
    """Return `value` clipped to the codes of a format (or to a range)."""
    limits = to.range if isinstance(to, Format) else to
    if isinstance(value, int):
        return min(max(value, limits.lo), limits.hi)
    return value.clip(limits.lo, limits.hi)
