"""Fused multiply-add in binary16: a * b + c with one rounding, to nearest even, subnormals kept, in six parts.

Significands are integers, M = 2**10 * 1.f (0.f below the least exponent), of value M * 2**(e - 25), e at least 1. The
product stands still, 22 bits; the addend moves: in units of a quarter of the product's LSB it starts 26 bits up and is
shifted right by ea + eb - ec - 1, what falls out below being kept as one sticky bit. Where that shift would be negative
the product is less than a quarter of the addend's LSB, and where the product is 0 the addend must come through whole:
there the shift is 0 and the exponent is the addend's. Two bits below the product's LSB and a sticky one are enough: the
sum cancels by more than one bit only where nothing was shifted out further.
"""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from hdl.float16.operation import Operation, Part, Values

FIELD = 37
"""Bits of the aligned sum: 11 of an addend at its highest place, 24 below it, 2 of them below the product's LSB."""
INFINITY = 0x7C00
NAN = 0x7E00


def unpack(x: Any) -> tuple[Any, Any, Any]:
    """Return sign, exponent (1 where the number is subnormal) and significand with its leading bit."""
    normal = x[10:15].any()
    return x[15], Cat(x[10] | ~normal, x[11:15]), Cat(x[:10], normal)


def is_nan(x: Any) -> Any:
    """Return one bit: no number."""
    return x[10:15].all() & x[:10].any()


def is_infinite(x: Any) -> Any:
    """Return one bit: plus or minus infinity."""
    return x[10:15].all() & ~x[:10].any()


def leading_zeros(m: Module, value: Any, name: str) -> Signal:
    """Return how many zeros stand above the highest one, by halves: a bit of the count a level, high bits first.

    The value is filled up with ones from below to a power of two, so that 0 counts as its width.
    """
    width = 1 << (len(value) - 1).bit_length()
    value = Cat(Const((1 << (width - len(value))) - 1, width - len(value)), value)
    pairs: list[Any] = [(bit, Const(0, 0)) for bit in value]  # lowest first: any one in it, zeros above the highest one
    level = 0
    while len(pairs) > 1:
        merged: list[Any] = []
        for low, high in zip(pairs[::2], pairs[1::2], strict=True):
            some = Signal(name=f"{name}_some_{level}_{len(merged)}")
            count = Signal(level + 1, name=f"{name}_zeros_{level}_{len(merged)}")
            m.d.comb += [some.eq(low[0] | high[0]), count.eq(Cat(Mux(high[0], high[1], low[1]), ~high[0]))]
            merged.append((some, count))
        pairs, level = merged, level + 1
    return pairs[0][1]


def _multiply(m: Module, name: str, v: Values) -> Values:
    """Multiply the significands, find how far the addend moves, and what is no finite number."""
    a, b, c = v["a"], v["b"], v["c"]
    (sa, ea, ma), (sb, eb, mb), (sc, ec, mc) = unpack(a), unpack(b), unpack(c)
    sign, nothing = Signal(name=f"{name}_sign"), Signal(name=f"{name}_nothing")
    exponent, limit = Signal(6, name=f"{name}_exponent"), Signal(6, name=f"{name}_limit")
    distance = Signal(7, name=f"{name}_distance")
    m.d.comb += [
        sign.eq(sa ^ sb),
        nothing.eq(~a[:15].any() | ~b[:15].any()),
        exponent.eq(ea + eb),
        limit.eq(ec + 1),
        distance.eq(exponent - limit),
    ]
    small = nothing | distance[-1]
    infinite = is_infinite(a) | is_infinite(b)
    nan = is_nan(a) | is_nan(b) | is_nan(c) | (infinite & nothing) | (infinite & is_infinite(c) & (sign ^ sc))
    return {
        "product": ma * mb,
        "addend": mc,
        "shift": Mux(small, 0, distance[:6]),
        "exponent": Mux(small, limit, exponent),
        "sign": sign,
        "subtract": sign ^ sc,
        "special": Cat(nan, infinite | is_infinite(c)),
        "infinity": Mux(infinite, sign, sc),
    }


def _align(m: Module, name: str, v: Values) -> Values:
    """Shift the addend right, small distances first: the wires in use grow with the distance."""
    shift, value, sticky = v["shift"], v["addend"], Const(0, 1)
    room = FIELD - len(value)
    for bit in range(len(shift)):
        step = 1 << bit
        grown = min(step, room)  # bits that are still free below
        room -= grown
        wide = Cat(Const(0, grown), value)
        lost = step - grown
        moved = Signal(len(wide), name=f"{name}_moved_{step}")
        m.d.comb += moved.eq(Mux(shift[bit], wide >> step, wide))
        if lost:
            out = Signal(name=f"{name}_out_{step}")
            m.d.comb += out.eq(sticky | (shift[bit] & wide[:step].any()))
            sticky = out
        value = moved
    return {"aligned": value, "sticky": sticky}


def _add(m: Module, name: str, v: Values) -> Values:
    """Add or subtract; the sum below zero, if the addend is the larger, is negated: -(p + ~c + 1) = ~(p + ~c)."""
    subtract, width = v["subtract"], FIELD + 1
    addend = Cat(v["sticky"], v["aligned"]) ^ subtract.replicate(width)
    product = Cat(Const(0, 3), v["product"], Const(0, width - 25))
    plain, above = Signal(width + 1, name=f"{name}_plain"), Signal(width, name=f"{name}_above")
    m.d.comb += [plain.eq(product + addend), above.eq(product + addend + 1)]
    below = subtract & ~plain[-1]
    magnitude = Mux(subtract, Mux(plain[-1], above, ~plain[:width]), plain[:width])
    return {"magnitude": magnitude, "negative": v["sign"] ^ below}


def _count(m: Module, name: str, v: Values) -> Values:
    """Find how far the sum moves left, to its leading one or to where the exponent is 1, and the exponent."""
    zeros = leading_zeros(m, v["magnitude"], name)
    room = Signal(6, name=f"{name}_room")
    m.d.comb += room.eq(v["exponent"] - 2)
    beyond = Signal(name=f"{name}_beyond")
    m.d.comb += beyond.eq(zeros > room)
    return {"left": Mux(beyond, room, zeros), "biased": (v["exponent"] - 1 - zeros)[:6]}


def _normalise(m: Module, name: str, v: Values) -> Values:
    """Move the sum left; keep 11 bits, the one below and whether anything is below that."""
    value = v["magnitude"]
    for bit in reversed(range(6)):
        moved = Signal(FIELD + 1, name=f"{name}_moved_{1 << bit}")
        m.d.comb += moved.eq(Mux(v["left"][bit], value << (1 << bit), value))
        value = moved
    low = FIELD - 11
    return {"kept": value[low + 1 :], "half": value[low], "rest": value[:low].any()}


def _round(m: Module, name: str, v: Values) -> Values:
    """Round to nearest even; the carry runs into the exponent, and on to infinity."""
    kept, nan, infinite = v["kept"], v["special"][0], v["special"][1]
    up, packed = Signal(name=f"{name}_up"), Signal(17, name=f"{name}_packed")
    m.d.comb += up.eq(v["half"] & (v["rest"] | kept[0]))
    # an exact 0 that a subtraction leaves is +0; one that was rounded away keeps its sign
    zero = ~(kept.any() | v["half"] | v["rest"])
    m.d.comb += packed.eq(Cat(kept[:10], Mux(kept[10], v["biased"], 0)) + up)
    over = packed[15] | packed[10:15].all()
    finite = Cat(packed[:15], v["negative"] & ~(zero & v["subtract"]))
    limit = Cat(Const(INFINITY, 15), Mux(infinite, v["infinity"], v["negative"]))
    return {"result": Mux(nan, Const(NAN, 16), Mux(infinite | over, limit, finite))}


def _parts(multiply: Part) -> tuple[Part, ...]:
    return (
        multiply,
        Part(name="align", takes=("shift", "addend"), gives=("aligned", "sticky"), compute=_align),
        Part(
            name="add",
            takes=("product", "aligned", "sticky", "sign", "subtract"),
            gives=("magnitude", "negative"),
            compute=_add,
        ),
        Part(name="count", takes=("magnitude", "exponent"), gives=("left", "biased"), compute=_count),
        Part(name="normalise", takes=("magnitude", "left"), gives=("kept", "half", "rest"), compute=_normalise),
        Part(
            name="round",
            takes=("kept", "half", "rest", "biased", "special", "infinity", "negative", "subtract"),
            gives=("result",),
            compute=_round,
        ),
    )


_REGISTERS: dict[int, tuple[str, ...]] = {
    1: (),
    2: ("add",),
    3: ("align", "count"),
    4: ("align", "add", "normalise"),
    5: ("align", "add", "count", "normalise"),
    6: ("multiply", "align", "add", "count", "normalise"),
}
"""By latency: the parts with a register behind them, besides the last one."""

LATENCIES = range(1, max(_REGISTERS) + 1)
"""What a multiply-add can be built with."""

_FIRST = ("product", "addend", "shift", "exponent", "sign", "subtract", "special", "infinity")


def _operation(cycles: int, fixed: dict[str, int]) -> Operation:
    """Return a * b + c with some operands fixed; synthesis then drops what they make needless."""
    operands = {name: 16 for name in ("a", "b", "c") if name not in fixed}

    def compute(m: Module, name: str, v: Values) -> Values:
        return _multiply(m, name, v | {operand: Const(value, 16) for operand, value in fixed.items()})

    parts = _parts(Part(name="multiply", takes=tuple(operands), gives=_FIRST, compute=compute))
    return Operation(
        operands=operands, results={"result": 16}, parts=parts, registers=frozenset((*_REGISTERS[cycles], "round"))
    )


def multiply_add(cycles: int) -> Operation:
    """Return a * b + c, rounded once, in 1 to 6 cycles."""
    return _operation(cycles, {})


def multiply(cycles: int) -> Operation:
    """Return a * b: the multiply-add with c = -0, which changes no product, not even the sign of one that is 0."""
    return _operation(cycles, {"c": 0x8000})


def add(cycles: int) -> Operation:
    """Return a + c: the multiply-add with b = 1."""
    return _operation(cycles, {"b": 0x3C00})
