"""Fixed-point arithmetic in hardware: the twin of `golden_model.fixed`, as combinational expressions.

A `Number` is an Amaranth value together with the `Range` it lies in; every width is derived from that range, so that
nothing can overflow. A unit with run-time shifts aligns its operands to one constant fraction first (exactly): rounding
then cuts at a constant bit.
"""

from dataclasses import dataclass
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

    def __rshift__(self, bits: int) -> "Number":
        return Number(_upper(_extend(self.value, bits + 1), bits), Range(self.range.lo >> bits, self.range.hi >> bits))

    def __lshift__(self, bits: int) -> "Number":
        if not bits:
            return self
        low = Cat(Const(0, bits), self.value)
        return Number(low.as_signed() if Shape.cast(self.value.shape()).signed else low, self.range << bits)

    def aligned(self, shift: Any, largest: int) -> "Number":
        """Return the number times 2**(largest - shift), `shift` a run-time value up to `largest`: exact."""
        up = self << largest
        return Number(up.value >> shift, self.range | up.range)

    def only_if(self, enable: Any) -> "Number":
        """Return the number where `enable` is 1, else 0."""
        return Number(Mux(enable, self.value, 0), self.range | Range(0, 0))

    def relu(self, enable: Any) -> "Number":
        """Return max(number, 0) where `enable` is 1, else the number."""
        if self.range.lo >= 0:
            return self
        return Number(Mux(enable & self.value[-1], 0, self.value), self.range | self.range.relu())


def rounding_carry(number: Number, bits: int, mode: Rounding) -> Any:
    """Return the bit that makes floor(number / 2**bits) the rounded number, 0 where `bits` is 0.

    Half up: the highest dropped bit. Half even: unless the dropped bits are a tie above an even number. Half away:
    unless they are a tie below zero. Exact over the whole range.
    """
    if bits == 0 or mode is Rounding.FLOOR:
        return Const(0, 1)
    value = _extend(number.value, bits + 1)
    carry, below = value[bits - 1], value[: bits - 1]
    if mode is Rounding.HALF_EVEN:
        return carry & (below.any() | value[bits])
    if mode is Rounding.HALF_AWAY and number.range.lo < 0:
        return carry & (below.any() | ~value[-1])
    return carry


def add_carry(m: Module, first: Number, second: Number, carry: Any, name: str) -> Number:
    """Return first + second + carry, carry one bit, with a single adder: the carry enters one bit below."""
    of = first.range + second.range + Range(0, 1)
    wire = Signal(shape(of << 1 | Range(1, 1)), name=name)
    m.d.comb += wire.eq(_above(Const(1, 1), first.value) + _above(carry, second.value))
    return Number(_upper(wire, 1), of)


def add_negated(m: Module, first: Number, negate: Any, second: Number, name: str) -> Number:
    """Return (negate ? -first : first) + second with a single adder: -x is ~x and a carry."""
    flipped = Number(Mux(negate, ~first.value, first.value), first.range | Range(~first.range.hi, ~first.range.lo))
    total = add_carry(m, flipped, second, negate, name)
    return Number(total.value, (first.range | -first.range) + second.range)


def add_all(m: Module, plus: list[Number], minus: list[Number], constant: int, of: Range, name: str) -> Number:
    """Return sum(plus) - sum(minus) + constant, which lies in the range `of`, as one adder of many operands.

    A product among the operands gives its rows to the adder: synthesis compresses them all and carries once. No sign is
    extended: the highest bit of a signed operand is inverted, which adds 2**(bits - 1), and the constant takes it back.
    """
    width = shape(of).width
    total: Any = Const(0, 1)
    for number in plus:
        value, bits = number.value, len(number.value)
        if Shape.cast(value.shape()).signed:
            value, constant = Cat(value[:-1], ~value[-1]), constant - (1 << (bits - 1))
        total = total + value
    for number in minus:
        total = total - number.value
    wire = Signal(shape(of), name=name)
    m.d.comb += wire.eq(total + Const(constant % (1 << width), width))
    return Number(wire, of)


def _above(low: Any, value: Any) -> Any:
    """Return the value with one bit below it."""
    wide = Cat(low, value)
    return wide.as_signed() if Shape.cast(value.shape()).signed else wide


def round_shift(number: Number, bits: int, mode: Rounding) -> Number:
    """Return number / 2**bits rounded to an integer: the upper bits plus the carry of the mode.

    Exact over the whole range; `bits` is a constant of the hardware. `round_shift(number, 0, mode)` is the number.
    """
    if bits < 0:
        raise UserError(f"round_shift by {bits} bits: a shift is 0 or more; bits are lost, never invented")
    if bits == 0:
        return number
    upper = (number >> bits).value
    if mode is not Rounding.FLOOR:
        upper = upper + rounding_carry(number, bits, mode)
    return Number(upper, number.range.round_shift(bits, mode))


def saturate(
    m: Module, number: Number, limits: Range, name: str, only_if: Any = None, otherwise: Range | None = None
) -> tuple[Number, Number]:
    """Return the number clipped to `limits`, and one bit: it was clipped. A side out of reach costs nothing.

    With `only_if`, nothing is clipped where that bit is 0; the number then lies in the range `otherwise`.
    """
    kept = Range(max(number.range.lo, limits.lo), min(number.range.hi, limits.hi))
    kept = kept | otherwise if only_if is not None and otherwise is not None else kept
    value, clips, width = number.value, [], shape(kept).width
    value = _extend(value, width)[:width]
    for limit, side in ((limits.lo, "under"), (limits.hi, "over")):
        if (number.range.lo < limit) if side == "under" else (number.range.hi > limit):
            clip = Signal(name=f"{name}_{side}")
            beyond = number.value < limit if side == "under" else number.value > limit
            m.d.comb += clip.eq(beyond if only_if is None else beyond & only_if)
            value = Mux(clip, Const(limit, width), value)
            clips.append(clip)
    clipped = clips[0] | clips[1] if len(clips) == 2 else clips[0] if clips else Const(0, 1)
    return Number(value.as_signed() if shape(kept).signed else value, kept), Number(clipped, Range(0, 1))
