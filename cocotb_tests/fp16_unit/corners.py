"""Directed stimulus of the FP16 unit: each column gets operands that bring one multiply-add to one corner.

A triple (`cocotb_tests.fp16_unit.triples`) is laid out on parameters and words so that the stages in front of the aimed
one hand it through and the ones behind let its result out. Nothing here decides what is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count, islice

import numpy as np

from cocotb_tests.contract import Stimulus
from cocotb_tests.fp16_unit.draw import SPECIAL, operands, random_columns, words
from cocotb_tests.fp16_unit.ports import LAYER
from cocotb_tests.fp16_unit.trace import bits, halves, kind
from cocotb_tests.fp16_unit.triples import KINDS, VECTORS, Kind, Triple, added, nearest, pick, residue
from cocotb_tests.ports import Integers
from golden_model.fixed import Format
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input

ROUND = 140
"""Directed batches after which every setting of the layer registers has had its turn, repetitions included."""


def _codes(rng: np.random.Generator, output: Format) -> list[float]:
    """Return numbers that become corners of a code: ties, both ends and beyond, infinities, NaN, nearly 0."""
    low, high = output.range.lo, output.range.hi
    small = [pick(rng, -9, 9) + 0.5, pick(rng, -9, 9) - 0.5, pick(rng, -40, 40) + 0.25, pick(rng, -40, 40) - 0.25]
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
    return [nearest(float(rng.choice(groups[pick(rng, 0, 3)]))) for _ in range(VECTORS)]


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
        triple = (added if stage == "sum" else aim)(rng, integers[used[stage]] if stage in used else None)
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


def directed(
    config: Fp16Config, rng: np.random.Generator, layer: dict[str, int], *only: str, kinds: Sequence[Kind] = KINDS
) -> Stimulus:
    """Return a batch in which columns aim at a stage and a corner; one in eight is random, most of those special."""
    held, sent = random_columns(config, rng), dict(words(config, rng, VECTORS))
    stages = only or _stages(config, layer)
    for column in range(config.columns):
        if rng.random() < 0.125:
            if rng.random() < 0.75:
                for name in held:
                    held[name][column] = int(rng.choice(SPECIAL))
            continue
        stage = stages[pick(rng, 0, len(stages) - 1)]
        values, word = _column(config, rng, layer, stage, kinds[pick(rng, 0, len(kinds) - 1)])
        for name in held:
            held[name][column] = values[name]
        for name, codes in word.items():
            sent[name][:, column] = codes
    return Stimulus(columns=held, layer=layer, words=sent)


def layers(rng: np.random.Generator) -> Iterator[dict[str, int]]:
    """Yield every setting of the layer registers in random order, again and again; one in six stands twice.

    Between them stand settings under which most is seen: logits leave, mostly behind no ReLU.
    """
    while True:
        for place, number in enumerate(rng.permutation(1 << len(LAYER))):
            found = {name: int(number) >> index & 1 for index, name in enumerate(LAYER)}
            yield found
            if place % 6 == 0:
                yield found
            relus = {name: int(rng.random() < 0.2) for name in ("relu_before", "relu_after")}
            yield found | relus | {"last": 1, "logits": 1}


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


def every_rest(config: Fp16Config, rng: np.random.Generator) -> Iterator[Stimulus]:
    """Yield batches in which each multiply-add cancels, in some 32 columns, and its rest leaves as a logit."""
    layer = dict.fromkeys(LAYER, 0) | {"add_residual": 1, "last": 1, "logits": 1}
    stages = [stage for stage in dict.fromkeys(_stages(config, layer)) if stage != "through"]
    for _ in range(max(1, 32 // config.columns)):
        for stage in stages:
            yield directed(config, rng, layer, stage, kinds=(residue,))


def corners(config: Fp16Config, rng: np.random.Generator, limit: int | None) -> Iterator[Stimulus]:
    """Yield directed batches, at most `limit`, one in four a rest; without one every code, end, rest and mode."""
    if limit is None:
        yield from every_code(config, rng)
        yield from every_end(config)
        yield from every_rest(config, rng)
    rests = chain.from_iterable(every_rest(config, rng) for _ in count())
    for number, layer in enumerate(islice(layers(rng), ROUND if limit is None else limit)):
        yield next(rests) if limit is not None and number % 4 == 3 else directed(config, rng, layer)
