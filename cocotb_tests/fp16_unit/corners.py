"""Directed stimulus of the FP16 unit: each column gets operands that bring one multiply-add to one corner.

A `Triple` is a multiply-add at its corner: a, b and several addends c. A recipe lays it out on parameters and words so
that the stages in front of the aimed one hand it through and the ones behind let its result out. Nothing here decides
what is right; whether a corner was met is counted from the golden intermediates (`cocotb_tests.fp16_unit.coverage`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from cocotb_tests.contract import Stimulus
from cocotb_tests.fp16_unit.draw import SPECIAL, operands, random_columns, words
from cocotb_tests.fp16_unit.ports import LAYER
from cocotb_tests.fp16_unit.trace import bits, halves, kind
from cocotb_tests.ports import Integers
from golden_model.fixed import Format, Range
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input

VECTORS = 6
"""Words a column: the corner itself, other addends where they travel with the word, and neighbours."""


class Triple(NamedTuple):
    """Multiply-adds a * b + c that share a and b."""

    a: float
    b: float
    c: list[float]


Kind = Callable[[np.random.Generator, Range | None], Triple]
"""How triples are made: the integers that a can be, or None where it can be any binary16 number."""


def _pick(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _sign(rng: np.random.Generator, allowed: Range | None = None) -> int:
    return 1 if allowed is not None and allowed.lo == 0 else int(rng.choice([-1, 1]))


def _held(value: float) -> bool:
    """Return whether binary16 holds a number."""
    with np.errstate(over="ignore"):
        return float(np.float16(value)) == value


def _half(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float16(value))


def _top(allowed: Range | None, limit: int) -> int:
    return limit if allowed is None else min(limit, allowed.hi)


def _tie(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """The sum lies half-way between two numbers: (2j + 1) * 2**q, c = sum - a * b."""
    a, m = _pick(rng, 1, _top(allowed, 31)) | 1, 2 * _pick(rng, 0, 15) + 1
    q, c = _pick(rng, -20, 3), []
    for _ in range(64):
        total = _sign(rng) * (2 * _pick(rng, 1024, 2047) + 1) * 2.0**q
        if _held(total - a * m * 2.0**q):
            c.append(total - a * m * 2.0**q)
    return Triple(_sign(rng, allowed) * a, m * 2.0**q, c or [0.0])


def _near(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """The product lies next to half an LSB of c: what a second rounding, or a narrower sum, takes for a tie."""
    a = np.arange(1, _top(allowed, 2047) + 1)
    power = 2.0 ** (10 + np.ceil(np.log2(a)) + (a & (a - 1) == 0))
    b = np.rint(power / a)
    off = np.abs(a * b - power) / power
    good = np.flatnonzero((off > 0) & (off < (2.0**-13 if rng.random() < 0.7 else 2.0**-8)))
    if not len(good):
        return _tie(rng, allowed)
    chosen = int(rng.choice(good))
    size = int(np.log2(power[chosen]))
    e = _pick(rng, -24, 4) - size  # the product is about 2**(size + e), half an LSB of c
    c = [_sign(rng) * _pick(rng, 1024, 2047) * 2.0 ** (size + e + 1) for _ in range(VECTORS)]
    b_value = float(b[chosen]) * 2.0**e
    if not _held(b_value):
        return _tie(rng, allowed)
    return Triple(_sign(rng, allowed) * float(a[chosen]), _sign(rng) * b_value, c)


def _any(rng: np.random.Generator, allowed: Range | None, low: int = -14, high: int = 4) -> tuple[float, float]:
    """Return a, b of any mantissa."""
    if allowed is None:
        a = _sign(rng) * _pick(rng, 1024, 2047) * 2.0 ** _pick(rng, -14, -4)
    else:
        a = float(np.float16(_pick(rng, allowed.lo, allowed.hi) >> _pick(rng, 0, allowed.signed_bits - 1)))
    return a, _sign(rng) * _pick(rng, 1024, 2047) * 2.0 ** (_pick(rng, low, high) - 10)


def _cancel(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """c takes nearly all, or all, of the product away."""
    a, b = _any(rng, allowed)
    if rng.random() < 0.4:
        b = _sign(rng) * 2.0 ** _pick(rng, -8, 3)
    near = np.float16(_half(-a * b))
    c = [near, near, np.nextafter(near, np.float16(0)), np.nextafter(near, np.copysign(np.float16(np.inf), near))]
    return Triple(a, b, [float(each) for each in c if np.isfinite(each)] or [0.0])


def _far(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """c lies far above or far below the product."""
    if rng.random() < 0.5:
        a, b = _any(rng, allowed, -24, -10)
        c = [_half(abs(a * b or 1) * 2.0 ** _pick(rng, 12, 26)) for _ in range(3)]
    else:
        a, b = _any(rng, allowed, -4, 8)
        c = [_pick(rng, 1, 2047) * 2.0**-24 for _ in range(3)]
    return Triple(a, _half(b), [_sign(rng) * each for each in c if np.isfinite(each)] or [1024.0])


def _small(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """Operands or results are subnormal."""
    if allowed is not None:
        whole = _pick(rng, max(allowed.lo, -3), min(allowed.hi, 3))
        b = _sign(rng) * _pick(rng, 0, 1023) * 2.0**-24
        return Triple(whole, b, [_sign(rng) * _pick(rng, 0, 2047) * 2.0**-24 for _ in range(VECTORS)])
    size = _pick(rng, -12, -2)
    a, unit = _sign(rng) * 2.0**size, 2.0 ** (-25 - size)  # a * unit is half the smallest number
    goal = _pick(rng, 0, 4)
    if goal == 0:  # rounds to 0, from either side of that half
        return Triple(a, _half(_pick(rng, 1, 2047) * unit / 2048), [0.0, -0.0])
    if goal == 1:  # rounds up to the smallest normal number
        return Triple(a, 2047 * unit, [0.0, -0.0])
    if goal == 2:  # a tie between subnormal numbers
        return Triple(a, (2 * _pick(rng, 0, 1022) + 1) * unit, [0.0, 2.0**-24, -0.0, 3 * 2.0**-24])
    b = _half(_pick(rng, 1024, 2047) * 2.0 ** _pick(rng, -28, -18))
    c = [_sign(rng) * _pick(rng, 0, 1023) * 2.0**-24 for _ in range(VECTORS)]
    return Triple(_sign(rng) * _pick(rng, 1024, 2047) * 2.0**-17, b, c)


def _large(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """The sum lies about 65,520, from where it is infinite: on it, below it, beyond it."""
    a, sign = (_pick(rng, 0, max(0, (_top(allowed, 31) - 1) // 2)) * 2 + 1), _sign(rng)
    b = float(rng.choice([16.0, 16.0, 8.0, 4.0, 1.0]))
    c = [(65520 - a * b) // 32 * 32 + step for step in (0, 0, -32, 32) if _held((65520 - a * b) // 32 * 32 + step)]
    c += [65504.0, 60000.0]
    signed = sign * _sign(rng, allowed)
    return Triple(sign * signed * a, signed * b, [sign * each for each in c])


def _special(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """Zeros, infinities, NaNs, ends."""
    b, c = halves(rng.choice(SPECIAL, 1))[0], halves(rng.choice(SPECIAL, VECTORS))
    if allowed is None:
        return Triple(float(halves(rng.choice(SPECIAL, 1))[0]), float(b), [float(each) for each in c])
    a = float(rng.choice([allowed.lo, 0, 0, 1, allowed.hi]))
    return Triple(a, float(b), [float(each) for each in c])


def _infinite(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """An infinite product: with 0, with the same infinity, with the other, with a finite addend."""
    a = float(rng.choice([0.0, 1.0, 2.0] if allowed is None else [0, allowed.lo, allowed.hi]))
    b = _sign(rng) * np.inf
    return Triple(a, b, [np.inf, -np.inf, _sign(rng) * 65504.0])


KINDS: tuple[Kind, ...] = (_tie, _near, _near, _cancel, _far, _small, _large, _special, _infinite)


def _added(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """An INT8 sum and what it meets: ties, near ties, cancellation, the largest numbers, numbers far away."""
    a = max(1, _pick(rng, 1, 127) >> int(rng.choice([0, 0, 0, 1, 2, 3, 4, 5])))
    lowest = a & -a
    goal, sign = int(rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 4, 5])), _sign(rng)
    if goal == 0:
        c = [_sign(rng) * _pick(rng, 1024, 2047) * 2.0 * lowest for _ in range(VECTORS)]
    elif goal == 1:  # next to half an LSB of the code
        c = [_sign(rng) * (1024 + _pick(rng, -2, 2)) * 2.0 ** (a.bit_length() - 22) for _ in range(VECTORS)]
    elif goal == 2:
        c = [-sign * a * (1 + off) for off in rng.permutation([0, 0, 0, 2.0**-10, -(2.0**-10), 2.0**-9])]
    elif goal == 3:
        a = int(rng.choice([1, 8, 15, 16, 16, 16, 17, 48]))
        c = [sign * 65504.0] * VECTORS
    elif goal == 4:
        a *= _pick(rng, 0, 1)
        c = [_sign(rng) * _pick(rng, 0, 2047) * 2.0**-24 for _ in range(VECTORS)]
    else:
        c = [float(halves(each)) for each in rng.choice(SPECIAL, VECTORS)]
    return Triple(sign * a, 1.0, [_half(each) for each in c])


def _codes(rng: np.random.Generator, output: Format) -> list[float]:
    """Return numbers that become corners of a code: ties, both ends and beyond, infinities, NaN, nearly 0."""
    low, high = output.range.lo, output.range.hi
    small = [_pick(rng, -9, 9) + 0.5, _pick(rng, -9, 9) - 0.5, _pick(rng, -40, 40) + 0.25, _pick(rng, -40, 40) - 0.25]
    ends = [
        low - 1,
        low - 1,
        low,
        high,
        high + 1,
        high + 1,
        low - 0.5,
        high + 0.5,
        low + 0.5,
        high - 0.5,
        low - 0.25,
        high + 0.25,
    ]
    far = [np.inf, -np.inf, np.nan, 65504.0, -65504.0, 2.0**-24, -(2.0**-24), 0.5, -0.5, -0.0]
    groups = (small, ends, ends, far)
    return [_half(float(rng.choice(groups[_pick(rng, 0, 3)]))) for _ in range(VECTORS)]


def _ends(config: Fp16Config, rng: np.random.Generator, layer: dict[str, int]) -> list[float]:
    """Return numbers to hand through to the output: corners of its code, or special numbers."""
    _, output = kind(config, layer)
    if output is not None:
        return _codes(rng, output)
    return [float(halves(each)) for each in rng.choice([*SPECIAL, *(0x8000,) * 12, *(0xFC00,) * 4], VECTORS)]


def _stages(config: Fp16Config, layer: dict[str, int]) -> list[str]:
    """Return what can be aimed at under a setting of the layer registers, by how much of it comes out."""
    found = ["u", "v"] if config.input is Input.COUNTS else ["u"]
    if layer["last"]:
        found += ["w", "w", "x", "x"] if layer["add_residual"] else ["w", "w"]
    if config.int8 and layer["receive"]:
        found += ["sum"] * 4
    _, output = kind(config, layer)
    return [*found, "through", "through"] if output is None else [*found, *("through",) * (2 * len(found))]


def _column(
    config: Fp16Config, rng: np.random.Generator, layer: dict[str, int], stage: str, aim: Kind
) -> tuple[dict[str, int], dict[str, Integers]]:
    """Return the parameters and the words of a column that brings `stage` to a corner."""
    integers = operands(config)
    used = {"u": "first", "v": "second", "x": "residual", "sum": "received"}
    travels = bool(layer["receive"]) and not config.int8  # the addend of u comes with the word
    if stage == "through":
        triple = Triple(0.0, 1.0, _ends(config, rng, layer))
    else:
        triple = (_added if stage == "sum" else aim)(rng, integers[used[stage]] if stage in used else None)
    addends = [triple.c[index % len(triple.c)] for index in range(VECTORS)]
    # Handed through, -0 included: +0 * -s + c, +0 * -(+s) + u, v * 1 + -0, 0 * r + w; what is not used is anything.
    plain = {"scale_p": [-1.5, -0.0], "scale_n": [1.5, 0.0], "gamma": [1.0], "beta": [-0.0], "receive": [-2.0, -0.0]}
    unused = ["receive"] * (not (layer["add_residual"] and layer["last"]))
    unused += ["gamma", "beta"] * (not (layer["last"] or config.int8))
    plain |= {name: [np.inf, -np.inf, np.nan, 1.0] for name in unused}
    values = {name: float(rng.choice(choice)) for name, choice in plain.items()} | {"offset": addends[0]}
    word = {name: np.zeros(VECTORS, np.int64) for name in integers}
    own = {"u": "scale_p", "v": "scale_n", "w": "gamma", "x": "receive"}
    if stage in own:
        values[own[stage]] = -triple.b if stage == "v" else triple.b
    if stage == "w":
        values["offset"], values["beta"] = triple.a, addends[0]
        addends = [triple.a] * VECTORS
    elif stage in used:
        allowed = integers[used[stage]]
        near = int(triple.a) + np.array([0, 0, 0, *rng.integers(-2, 3, VECTORS - 3)])
        word[used[stage]] = np.clip(near, allowed.lo, allowed.hi)
    if not config.int8:
        word["received"] = bits(np.array(addends, np.float16)) if travels else rng.integers(0, 65536, VECTORS)
    return {name: int(bits(np.float16(value))) for name, value in values.items()}, word


def directed(config: Fp16Config, rng: np.random.Generator, layer: dict[str, int]) -> Stimulus:
    """Return a batch in which columns aim at a stage and a corner; one in eight is random, half of those special."""
    held, sent = random_columns(config, rng), dict(words(config, rng, VECTORS))
    stages = _stages(config, layer)
    for column in range(config.columns):
        if rng.random() < 0.125:
            if rng.random() < 0.5:
                for name in held:
                    held[name][column] = int(rng.choice(SPECIAL))
            continue
        stage = stages[_pick(rng, 0, len(stages) - 1)]
        values, word = _column(config, rng, layer, stage, KINDS[_pick(rng, 0, len(KINDS) - 1)])
        for name in held:
            held[name][column] = values[name]
        for name, codes in word.items():
            sent[name][:, column] = codes
    return Stimulus(columns=held, layer=layer, words=sent)


def layers(rng: np.random.Generator) -> Iterator[dict[str, int]]:
    """Yield every setting of the layer registers in random order, again and again; one in six stands twice."""
    while True:
        for number in rng.permutation(1 << len(LAYER)):
            found = {name: int(number) >> index & 1 for index, name in enumerate(LAYER)}
            yield found
            if rng.random() < 1 / 6:
                yield found


def every_code(config: Fp16Config, rng: np.random.Generator) -> Iterator[Stimulus]:
    """Yield, for each integer operand of at most 4,096 codes, a batch with all of them, converted and let out."""
    scales = {"first": "scale_p", "second": "scale_n", "received": "", "residual": "receive"}
    for operand, allowed in operands(config).items():
        codes = np.arange(allowed.lo, allowed.hi + 1)
        if len(codes) > 4096:
            continue
        vectors = -(-len(codes) // config.columns)
        shape = (vectors, config.columns)
        values = dict.fromkeys(("scale_p", "scale_n", "receive", "offset"), 0.0) | {"gamma": 1.0, "beta": -0.0}
        if scales[operand]:
            values[scales[operand]] = 1.0
        held = {name: np.full(config.columns, int(bits(np.float16(value)))) for name, value in values.items()}
        sent = {name: np.zeros(shape, np.int64) for name in ("first", "second", "received", "residual")}
        sent[operand] = rng.permutation(np.resize(codes, shape[0] * shape[1])).reshape(shape)
        layer = {"last": 1, "logits": 1, "receive": int(operand == "received"), "add_residual": 1}
        yield Stimulus(columns=held, layer={"relu_before": 0, "relu_after": 0} | layer, words=sent)


def every_end(config: Fp16Config) -> Iterator[Stimulus]:
    """Yield batches in which a code, alone and behind nothing, has both its ends and what lies beside them."""
    low, high = config.output.range.lo, config.output.range.hi
    values = [end + step for end in (low, high) for step in (-1, -0.5, -0.25, 0, 0.25, 0.5, 1)]
    layer = dict.fromkeys(LAYER, 0) | {"last": 1}
    nothing = np.zeros((2, config.columns), np.int64)
    for first in range(0, len(values), config.columns):
        offsets = np.resize(np.array(values[first : first + config.columns], np.float16), config.columns)
        held = {name: np.zeros(config.columns, np.int64) for name in ("scale_p", "scale_n", "beta", "receive")}
        held |= {"offset": bits(offsets), "gamma": bits(np.ones(config.columns))}
        sent = {name: nothing for name in ("first", "second", "received", "residual")}
        yield Stimulus(columns=held, layer=layer, words=sent)


def corners(config: Fp16Config, rng: np.random.Generator, limit: int | None) -> Iterator[Stimulus]:
    """Yield directed batches, at most `limit`; without one, three rounds of every layer setting, every code, and the ends of the output."""
    if limit is None:
        yield from every_code(config, rng)
        yield from every_end(config)
    rounds = 3 << len(LAYER) if limit is None else limit
    for layer in islice(layers(rng), rounds):
        yield directed(config, rng, layer)
