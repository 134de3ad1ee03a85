"""Integers to binary16 and back, and ReLU."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from golden_model.fixed import Format, Range
from hdl.fixed import shape
from hdl.float16.multiply_add import is_nan, leading_zeros, unpack
from hdl.float16.operation import Operation, Part, Values


def from_int(of: Range) -> Operation:
    """Return integers of a range of at most 17 bits as binary16, nearest even, infinite from 65,520; in one cycle."""

    def compute(m: Module, name: str, v: Values) -> Values:
        negative = v["value"][-1] if of.lo < 0 else Const(0, 1)
        size = max(of.hi.bit_length(), (-of.lo).bit_length(), 1)
        magnitude = Signal(size, name=f"{name}_magnitude")
        m.d.comb += magnitude.eq(Mux(negative, -v["value"].as_signed(), v["value"]) if of.lo < 0 else v["value"])
        zeros = leading_zeros(m, magnitude, name)
        value: Any = magnitude
        for bit in reversed(range((size - 1).bit_length())):
            moved = Signal(size, name=f"{name}_moved_{1 << bit}")
            m.d.comb += moved.eq(Mux(zeros[bit], value << (1 << bit), value))
            value = moved
        kept = Cat(Const(0, 11 - size), value) if size < 11 else value[size - 11 :]
        exponent = Mux(value[-1], 14 + size - zeros, 0)
        packed = Signal(15, name=f"{name}_packed")
        up: Any = Const(0, 1)
        if size > 11:
            below = value[: size - 12].any() if size > 12 else Const(0, 1)
            up = value[size - 12] & (below | kept[0])
        m.d.comb += packed.eq(Cat(kept[:10], exponent[:5]) + up)
        return {"result": Cat(packed, negative)}

    part = Part(name="convert", takes=("value",), gives=("result",), compute=compute)
    return Operation(
        operands={"value": shape(of)}, results={"result": 16}, parts=(part,), registers=frozenset({"convert"})
    )


def relu() -> Part:
    """Return the part that makes everything with a sign +0 where `relu` is 1; the one NaN has none and stays."""

    def compute(m: Module, name: str, v: Values) -> Values:
        return {"result": Mux(v["relu"] & v["result"][15], 0, v["result"])}

    return Part(name="relu", takes=("result", "relu"), gives=("result",), compute=compute)


def to_int(output: Format) -> Operation:
    """Return integer codes: nearest even, saturated; `lost`: saturation, infinity or NaN (which is 0). Combinational.

    The magnitude is kept to the bits that the format's larger end has and one more; what is beyond them saturates.
    """
    limits = output.range
    bits = max(limits.hi, -limits.lo).bit_length() + 1
    top = min(15 + bits - 1, 30)  # exponent of numbers whose leading one is at the highest bit kept

    def compute(m: Module, name: str, v: Values) -> Values:
        x = v["x"]
        sign, exponent, significand = unpack(x)
        huge, nan = Signal(name=f"{name}_huge"), is_nan(x)
        distance = Signal(5, name=f"{name}_distance")
        m.d.comb += [huge.eq(exponent > top), distance.eq(top - exponent)]
        # `high` integer bits, then fraction: the leading one of a number with exponent `top` is the highest bit
        high = top - 14
        value: Any = Cat(Const(0, max(high + 1 - 11, 0)), significand)
        fraction = len(value) - high
        sticky: Any = Const(0, 1)
        for bit in range(5):
            step = min(1 << bit, len(value))
            moved, out = Signal(len(value), name=f"{name}_moved_{1 << bit}"), Signal(name=f"{name}_out_{1 << bit}")
            m.d.comb += [
                moved.eq(Mux(distance[bit], value >> step, value)),
                out.eq(sticky | (distance[bit] & value[:step].any())),
            ]
            value, sticky = moved, out
        whole = value[fraction:]
        half, rest = value[fraction - 1], (value[: fraction - 1].any() if fraction > 1 else Const(0, 1)) | sticky
        rounded = Signal(high + 1, name=f"{name}_rounded")
        m.d.comb += rounded.eq(whole + (half & (rest | whole[0])))
        over, under = Signal(name=f"{name}_over"), Signal(name=f"{name}_under")
        m.d.comb += [
            over.eq(~sign & (huge | (rounded > limits.hi))),
            under.eq(sign & (huge | (rounded > -limits.lo))),
        ]
        code = Signal(shape(limits), name=f"{name}_code")
        signed = Mux(sign, -rounded, rounded)
        clipped = Mux(over, Const(limits.hi, shape(limits)), Mux(under, Const(limits.lo, shape(limits)), signed))
        m.d.comb += code.eq(Mux(nan, 0, clipped))
        return {"result": code, "lost": nan | over | under}

    part = Part(name="convert", takes=("x",), gives=("result", "lost"), compute=compute)
    return Operation(
        operands={"x": 16}, results={"result": shape(limits), "lost": 1}, parts=(part,), registers=frozenset()
    )
