"""Sums as two rows of bits whose carries nobody has carried yet: what a register holds between multiplier and adder.

A full adder takes three bits of a column and leaves two, in the time of two gates, whatever the width. So many rows
become two, and the one adder that carries comes a pipeline step later, behind whatever else is to be added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal

from hdl.fixed import Number


@dataclass(frozen=True, slots=True)
class Row:
    """A number that is not negative: `value` << `low`."""

    low: int
    value: Any
    time: float = 0.0
    """Gates on the longest path that makes it: which rows are added first."""

    @property
    def end(self) -> int:
        """Return the first bit above the value."""
        return self.low + len(self.value)

    def bits(self, low: int, end: int) -> Any:
        """Return the bits from `low` to below `end`, zeros outside the value."""
        first, last = min(max(low, self.low), end), max(min(end, self.end), low)
        if first >= last:
            return Const(0, end - low)
        inside = self.value[first - self.low : last - self.low]
        return Cat(Const(0, first - low), inside, Const(0, end - last))

    def complement(self, width: int) -> "Row":
        """Return 2**width - 1 - row."""
        return Row(0, ~self.bits(0, width), self.time)


def compress(m: Module, rows: Sequence[Row], width: int, name: str) -> list[Row]:
    """Return two rows with the same sum, modulo 2**width; exactly, where the sum is below 2**width.

    Three by three, those that are there first. Bits below the third row's lowest, where two overlap at most, pass.
    """
    rows = list(rows)
    for n in range(len(rows) - 2):
        rows.sort(key=lambda row: (row.time, row.low))
        three, rows = rows[:3], rows[3:]
        (base, start, low), end = sorted(row.low for row in three), min(max(row.end for row in three), width)
        a, b, c, total, carry = (Signal(end - low, name=f"{name}_{part}_{n}") for part in (*"abc", "sum", "carry"))
        m.d.comb += [wire.eq(row.bits(low, end)) for wire, row in zip((a, b, c), three, strict=True)]
        m.d.comb += [total.eq(a ^ b ^ c), carry.eq((a & b) | (c & (a | b)))]
        first, second, _ = sorted(three, key=lambda row: row.low)
        early, late = max(row.time for row in three[:2]), three[2].time
        rows += [
            Row(base, Cat(first.bits(base, low), total), max(early + 2, late + 1)),
            Row(start, Cat(second.bits(start, low), Const(0, 1), carry[: width - low - 1]), max(early + 1.5, late + 1)),
        ]
    return rows


@dataclass(frozen=True, slots=True)
class Addend:
    """What is added to a product: number * 2**low + constant."""

    number: Number
    low: int
    constant: int


def multiply_add(m: Module, a: Number, b: Number, addend: Addend | None, width: int, name: str) -> list[Row]:
    """Return two rows whose sum is a * b + addend, modulo 2**width; b is not negative.

    Exactly, where a is not negative, the sum below 2**width, and the constant at least what makes no addend negative.
    """
    constant, size = addend.constant if addend else 0, len(a.value) - (a.range.lo < 0)

    def wire(value: Any, place: int) -> list[Any]:  # a name, or every bit that is taken of it is written out anew
        row = Signal(len(value), name=f"{name}_row_{place}")
        m.d.comb += row.eq(value)
        return [place, [*row]]

    rows = [wire(a.value[:size] & bit.replicate(size), place) for place, bit in enumerate(b.value)]
    if a.range.lo < 0:  # less b at the sign's place: its complement, and what that is too much
        rows.append([size, wire(~(b.value & a.value[size].replicate(len(b.value))), len(rows))[1]])
        constant -= ((1 << len(b.value)) - 1) << size
    if addend is not None:
        bits = [*addend.number.value]
        if addend.number.range.lo < 0:  # the highest bit inverted adds its weight
            bits[-1], constant = ~bits[-1], constant - (1 << (addend.low + len(bits) - 1))
        rows.append([addend.low, bits])
    given = _with_constant(rows, constant % (1 << width))
    return compress(m, [Row(low, Cat(*bits)) for low, bits in given], width, name)


def _with_constant(rows: list[list[Any]], constant: int) -> list[list[Any]]:
    """Return rows of [lowest bit, bits] with a constant in places that no bit of them has; the rest is a row more."""
    left = 0
    for place in range(constant.bit_length()):
        if not constant >> place & 1:
            continue
        for row in rows:
            low, bits = row
            if place >= low + len(bits):
                bits += [Const(0, 1)] * (place - low - len(bits)) + [Const(1, 1)]
                break
            if place < low:
                row[:] = [place, [Const(1, 1)] + [Const(0, 1)] * (low - place - 1) + bits]
                break
        else:
            left |= 1 << place
    return [*rows, [0, [Const(left, left.bit_length())]]] if left else rows
