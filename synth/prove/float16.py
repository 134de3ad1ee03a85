"""What has to be proved of the binary16 operations: each part against a specification in exact integers.

The multiply-add is cut in two behind its part `multiply`: what that finds out of the operands is one obligation, and
what the other parts make of it another for every distance between the exponents of product and addend, from the
smallest to the largest there is, since a solver carries one distance and not all at once. The product of the
significands is free, up to the largest there is, and 0 only where a factor is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Module, UnusedElaboratable
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import INT8, Format, Range
from golden_model.fp16_unit import Fp16Config
from hdl import float16
from hdl.fixed import shape
from hdl.float16.operation import Part as Step
from synth.prove import chain
from synth.prove.chain import Part
from synth.prove.obligation import Obligation, constant

SPECIFICATION = Path(__file__).resolve().parents[1] / "spec" / "float16.v"
"""The specification, written by hand."""
HALF, FLAG, SIGNIFICAND = Range(0, (1 << 16) - 1), Range(0, 1), Range(0, 2047)
DISTANCES = range(-29, 59)
"""ea + eb - ec - 1 for exponents of 1 to 30."""

_BETWEEN = {
    "product": SIGNIFICAND * SIGNIFICAND,
    "addend": SIGNIFICAND,
    "shift": Range(0, 58),
    "exponent": Range(2, 60),
    "sign": FLAG,
    "subtract": FLAG,
    "special": Range(0, 3),
    "infinity": FLAG,
}
"""What the part `multiply` hands to the others."""


class Steps(wiring.Component):  # type: ignore[misc]  # Amaranth ships no types: its Component is Any
    """Parts of an operation one behind the other, without registers, as a component. Combinational."""

    def __init__(self, steps: Sequence[Step], given: dict[str, Range], made: dict[str, Range]) -> None:
        self.steps, self.given, self.made = steps, given, made
        ports: dict[str, Any] = {name: In(shape(of)) for name, of in given.items()}
        super().__init__(ports | {f"{name}_out": Out(shape(of)) for name, of in made.items()})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        values = {name: getattr(self, name) for name in self.given}
        for step in self.steps:
            values |= step.compute(m, step.name, {name: values[name] for name in step.takes})
        m.d.comb += [getattr(self, f"{name}_out").eq(values[name]) for name in self.made]
        return m


def part(steps: Sequence[Step], given: dict[str, Range], made: dict[str, Range]) -> Part:
    """Return parts of an operation with their products cut; outputs end in `_out`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        text, cuts = chain.cut_products(rtlil.convert(Steps(steps, given, made), name=chain.TOP, emit_src=False))
    return Part(text=text, inputs=given, outputs={f"{name}_out": of for name, of in made.items()}, cuts=cuts)


def multiply() -> Obligation:
    """Return what has to be proved of the part that multiplies."""
    steps = float16.multiply_add(1).parts
    return Obligation(
        name="multiply",
        part=part(steps[:1], {"a": HALF, "b": HALF, "c": HALF}, _BETWEEN),
        module="spec_multiply",
        parameters={},
        inputs={"a": "a", "b": "b", "c": "c", "made": "cut_0_y_w"},
        outputs={"product_a": "cut_0_a", "product_b": "cut_0_b"} | {name: f"{name}_out" for name in _BETWEEN},
        operands=[(SIGNIFICAND, SIGNIFICAND)],
        # of what is no finite number only that is told
        assumed="(a[14:10] != 31 && b[14:10] != 31 && c[14:10] != 31)",
        specification=SPECIFICATION,
    )


def special() -> Obligation:
    """Return what has to be proved of the part that multiplies, for all operands: what is no finite number."""
    each = multiply()
    told = {name: f"{name}_out" for name in ("sign", "subtract", "special", "infinity")}
    return Obligation(
        name="special",
        part=each.part,
        module=each.module,
        parameters={},
        inputs=each.inputs,
        outputs=told,
        specification=SPECIFICATION,
    )


@cache
def _sum() -> Part:
    """Return the parts behind `multiply`, the same for every distance."""
    return part(float16.multiply_add(1).parts[1:], _BETWEEN, {"result": HALF})


def add(distance: int, steps: Sequence[Step] | None = None) -> Obligation:
    """Return what has to be proved of the other parts at one distance of the exponents."""
    ep = "exponent_w" if distance >= 0 else f"(exponent_w - 128'sd1 + {constant(distance + 1)})"
    ec = f"(exponent_w - {constant(1 + distance)})" if distance >= 0 else "(exponent_w - 128'sd1)"
    return Obligation(
        name=f"add, distance {distance}",
        part=_sum() if steps is None else part(steps, _BETWEEN, {"result": HALF}),
        module="spec_sum",
        parameters={"DISTANCE": distance},
        inputs={"product": "product_w", "addend": "addend_w", "ep": ep}
        | {name: name for name in ("sign", "subtract", "infinity", "special")},
        outputs={"result": "result_out"},
        # a significand has its leading bit unless its exponent is the least, so both factors have it where ep > 31;
        # a product of 0 acts as one at distance -1
        assumed=f"(special == 0 && shift == {max(distance, 0)} && {ec} >= 1 && {ec} <= 30 && {ep} >= 2 && {ep} <= 60"
        f" && (addend >= 1024 || {ec} == 1) && ({int(distance == -1)} && product == 0"
        f" || product > 0 && ({ep} <= 31 || product >= {1 << 20})))",
        specification=SPECIFICATION,
    )


def no_number() -> Obligation:
    """Return what has to be proved of the other parts where the result is infinite or no number."""
    return replace(add(0), name="add, no finite number", assumed="(special != 0)")


def from_int(of: Range) -> Obligation:
    """Return what has to be proved of the conversion of integers of a range."""
    return Obligation(
        name=f"from_int {of.lo}..{of.hi}",
        part=part(float16.from_int(of).parts, {"value": of}, {"result": HALF}),
        module="spec_from_int",
        parameters={},
        inputs={"value": "value_w"},
        outputs={"result": "result_out"},
        specification=SPECIFICATION,
    )


def to_int(output: Format) -> Obligation:
    """Return what has to be proved of the conversion to codes."""
    of = output.range
    return Obligation(
        name=f"to_int {output}",
        part=part(float16.to_int(output).parts, {"x": HALF}, {"result": of, "lost": FLAG}),
        module="spec_to_int",
        parameters={},
        inputs={"x": "x", "low": constant(of.lo), "high": constant(of.hi)},
        outputs={"code": "result_out", "lost": "lost_out"},
        specification=SPECIFICATION,
    )


def relu() -> Obligation:
    """Return what has to be proved of the ReLU."""
    return Obligation(
        name="relu",
        part=part([float16.relu()], {"result": HALF, "relu": FLAG}, {"result": HALF}),
        module="spec_relu16",
        parameters={},
        inputs={"result": "result", "enable": "relu"},
        outputs={"positive": "result_out"},
        specification=SPECIFICATION,
    )


def obligations(configs: Sequence[Fp16Config]) -> Iterator[Obligation]:
    """Return what has to be proved of the operations of some configurations; they share the multiply-add."""
    ranges = {(of.lo, of.hi): of for config in configs for of in (config.input_range, config.residual_input.range)}
    if any(config.int8 for config in configs):
        ranges[INT8.range.lo, INT8.range.hi] = INT8.range
    formats = {str(of): of for config in configs for of in ([config.output] + [INT8] * config.int8)}
    yield multiply()
    yield special()
    yield relu()
    yield from (from_int(of) for of in ranges.values())
    yield from (to_int(of) for of in formats.values())
    yield no_number()
    yield from (add(distance) for distance in DISTANCES)
