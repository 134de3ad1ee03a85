"""The FP16 unit's answer and its intermediates: the golden model, and the same path written out step by step.

A test holds the two equal. The trace serves the cover bins; what is right is decided by the golden model alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cocotb_tests.contract import Answer, Mask, Stimulus
from cocotb_tests.ports import Integers
from golden_model import float16
from golden_model import fp16_unit as golden
from golden_model.fixed import INT8, Format
from golden_model.float16 import Halves
from golden_model.fp16_unit import Fp16Columns, Fp16Config
from golden_model.nmpu_config import Input


class Step(NamedTuple):
    """One multiply-add: result = a * b + c."""

    a: Halves
    b: Halves
    c: Halves
    result: Halves


class Rectified(NamedTuple):
    """What one ReLU met."""

    value: Halves
    enabled: bool


class Trace(NamedTuple):
    """Golden intermediates of a stimulus; what its path leaves out is missing."""

    steps: dict[str, Step]
    """By name: u, v, w, sum (the addition of an INT8 sum), x."""
    relus: dict[str, Rectified]
    """relu_before, relu_after."""
    end: Halves
    """What leaves, before it becomes a code."""
    kind: str
    """The output field in which it leaves: code, half or sum."""
    values: Integers
    """That field."""
    flagged: Mask
    """What is flagged."""


def halves(bits: Any) -> Halves:
    """Return binary16 numbers of their bits."""
    return np.asarray(bits).astype(np.uint16).view(np.float16)


def bits(numbers: Any) -> Integers:
    """Return the bits of binary16 numbers."""
    return np.asarray(numbers, np.float16).view(np.uint16).astype(np.int64)


def columns(config: Fp16Config, stimulus: Stimulus) -> Fp16Columns:
    """Return the parameters as the golden model takes them; `scale_n` is 0 where the unit has none."""
    nothing = np.zeros(config.columns, np.int64)
    names = ("scale_p", "scale_n", "offset", "gamma", "beta", "receive")
    return Fp16Columns(**{name: halves(stimulus.columns.get(name, nothing)) for name in names})


def kind(config: Fp16Config, layer: Any) -> tuple[str, Format | None]:
    """Return the output field that a setting of the layer registers uses, and its format if it is a code."""
    if layer["last"]:
        return ("half", None) if layer["logits"] else ("code", config.output)
    return ("sum", INT8) if config.int8 else ("half", None)


def received(config: Fp16Config, stimulus: Stimulus) -> Any:
    """Return the received sums as the golden model takes them."""
    given = stimulus.words["received"]
    return given if config.int8 else halves(given)


def answer(config: Fp16Config, stimulus: Stimulus) -> Answer:
    """Return what the golden model says: every output field, 0 but for the one that the layer registers choose."""
    layer, words = stimulus.layer, stimulus.words
    output = golden.fp16_unit(
        config,
        columns(config, stimulus),
        words["first"],
        words.get("second"),
        received=received(config, stimulus) if layer["receive"] else None,
        residual=words["residual"] if layer["add_residual"] else None,
        relu_before=bool(layer["relu_before"]),
        relu_after=bool(layer["relu_after"]),
        last=bool(layer["last"]),
        logits=bool(layer["logits"]),
    )
    chosen, _ = kind(config, layer)
    nothing = np.zeros(words["first"].shape, np.int64)
    fields = {"code": nothing, "half": nothing, "sum": nothing}
    fields[chosen] = bits(output.values) if chosen == "half" else np.asarray(output.values)
    return Answer(fields, np.asarray(output.saturated))


def trace(config: Fp16Config, stimulus: Stimulus, stage: str = "", flipped: int = 0) -> Trace:
    """Return the golden intermediates of a stimulus; with some bits of one stage's result flipped, if one is named."""
    layer, words, held = stimulus.layer, stimulus.words, columns(config, stimulus)
    shape = words["first"].shape
    steps: dict[str, Step] = {}
    relus: dict[str, Rectified] = {}

    def fma(name: str, a: Any, b: Any, c: Any) -> Halves:
        a, b, c = (np.broadcast_to(each, shape) for each in (a, b, c))
        result = float16.fused_multiply_add(a, b, c)
        steps[name] = Step(a, b, c, halves(bits(result) ^ flipped) if name == stage else result)
        return steps[name].result

    def relu(name: str, x: Halves) -> Halves:
        relus[name] = Rectified(x, bool(layer[name]))
        return float16.relu(x) if layer[name] else x

    half_sum = bool(layer["receive"]) and not config.int8
    x = fma(
        "u", float16.from_int(words["first"]), held.scale_p, received(config, stimulus) if half_sum else held.offset
    )
    if config.input is Input.COUNTS:
        x = fma("v", float16.from_int(words["second"]), float16.negate(held.scale_n), x)
    if layer["last"] or config.int8:
        x = fma("w", x, held.gamma, held.beta)
    if config.int8 and layer["receive"]:
        x = fma("sum", float16.from_int(words["received"]), np.float16(1), x)
    if layer["last"]:
        x = relu("relu_before", x)
        if layer["add_residual"]:
            x = fma("x", float16.from_int(words["residual"]), held.receive, x)
        x = relu("relu_after", x)
    chosen, output = kind(config, layer)
    if output is None:
        return Trace(steps, relus, x, chosen, bits(x), np.isnan(x))
    codes, lost = float16.to_int(x, output)
    return Trace(steps, relus, x, chosen, codes, lost)
