"""Fixed-point arithmetic in hardware: the twin of `golden_model.fixed`, as combinational expressions.

A `Number` is an Amaranth value together with the `Range` it lies in; every width is derived from that range, so that
nothing can overflow. Shift distances are constants: a unit with run-time shifts aligns its operands to one constant
fraction first (exactly), which leaves the rounding constants fixed.
"""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed, unsigned

from golden_model.errors import UserError
from golden_model.fixed import Range, Rounding


def shape(of: Range) -> Any:
    """Return the narrowest shape that holds a range: unsigned where nothing is negative, else two's complement."""
    return signed(of.signed_bits) if of.lo < 0 else unsigned(of.unsigned_bits)


def _extend(value: Any, width: int) -> Any:
    """Return the value with at least `width` bits, extended by its sign or by zeros."""
    more = width - len(value)
    if more <= 0:
        return value
    if not Shape.cast(value.shape()).signed:
        return Cat(value, Const(0, more))
    return Cat(value, value[-1].replicate(more)).as_signed()


def _upper(value: Any, bits: int) -> Any:
    """Return floor(value / 2**bits): wires only."""
    upper = value[bits:]
    return upper.as_signed() if Shape.cast(value.shape()).signed else upper


@dataclass(frozen=True, slots=True)
class Number:
    """An Amaranth value and the integers it can be."""

    value: Any
    range: Range

    def named(self, m: Module, name: str) -> "Number":
        """Return the same number behind a signal of that name and of the width derived from the range."""
        wire = Signal(shape(self.range), name=name)
        m.d.comb += wire.eq(self.value)
        return Number(wire, self.range)

    def __add__(self, other: "Number") -> "Number":
        return Number(self.value + other.value, self.range + other.range)

    def __sub__(self, other: "Number") -> "Number":
        return Number(self.value - other.value, self.range - other.range)

    def __mul__(self, other: "Number") -> "Number":
        return Number(self.value * other.value, self.range * other.range)

    def __lshift__(self, bits: int) -> "Number":
        if not bits:
            return self
        low = Cat(Const(0, bits), self.value)
        return Number(low.as_signed() if Shape.cast(self.value.shape()).signed else low, self.range << bits)

    def aligned(self, distance: Any, largest: int) -> "Number":
        """Return the number times 2**distance, `distance` a run-time value of 0 to `largest`: one left shifter."""
        wide = self.range | (self.range << largest)
        value = (self.value << distance)[: shape(wide).width]
        return Number(value.as_signed() if shape(wide).signed else value, wide)

    def relu(self, enable: Any) -> "Number":
        """Return max(number, 0) where `enable` is 1, else the number."""
        if self.range.lo >= 0:
            return self
        return Number(Mux(enable & self.value[-1], 0, self.value), self.range | self.range.relu())


def complement(largest: int, shifts: list[Number]) -> Any:
    """Return largest - sum(shifts), unsigned: the distance by which right shifts become an alignment to the left."""
    width = shape(Range(0, largest)).width
    if len(shifts) == 1 and largest == (1 << width) - 1:
        return ~shifts[0].value
    total = sum((shift.value for shift in shifts[1:]), shifts[0].value)
    return (largest - total)[:width]


def round_shift(number: Number, bits: int, mode: Rounding) -> Number:
    """Return number / 2**bits rounded to an integer: the upper bits plus one carry-in, which the mode decides.

    Half up adds the highest dropped bit; half even does so unless the dropped bits are a tie above an even number, half
    away unless they are a tie below zero. Exact over the whole range; `bits` is a constant of the hardware.
    """
    if bits < 0:
        raise UserError(f"round_shift by {bits} bits: a shift is 0 or more; bits are lost, never invented")
    if bits == 0:
        return number
    value, cut = _extend(number.value, bits + 1), number.range.round_shift(bits, mode)
    upper = _upper(value, bits)
    if mode is Rounding.FLOOR:
        return Number(upper, cut)
    carry, below = value[bits - 1], value[: bits - 1]
    if mode is Rounding.HALF_EVEN:
        carry = carry & (below.any() | upper[0])
    elif mode is Rounding.HALF_AWAY and number.range.lo < 0:
        carry = carry & (below.any() | ~value[-1])
    return Number(upper + carry, cut)


def saturate(m: Module, number: Number, limits: Range, name: str) -> tuple[Number, Number]:
    """Return the number clipped to `limits`, and one bit: it was clipped. A side out of reach costs nothing."""
    value, clips = number.value, []
    for beyond, limit, side in (
        (number.range.lo < limits.lo, limits.lo, "under"),
        (number.range.hi > limits.hi, limits.hi, "over"),
    ):
        if beyond:
            clip = Signal(name=f"{name}_{side}")
            m.d.comb += clip.eq(number.value < limit if side == "under" else number.value > limit)
            value = Mux(clip, limit, value)
            clips.append(clip)
    kept = Range(max(number.range.lo, limits.lo), min(number.range.hi, limits.hi))
    return Number(value, kept), Number(reduce(or_, clips, Const(0, 1)) if len(clips) != 1 else clips[0], Range(0, 1))
