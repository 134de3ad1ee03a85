"""The parts that are proved: stages of a lane one behind the other, without registers, their multipliers cut free."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Module, UnusedElaboratable
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from hdl.fixed import shape
from hdl.nmpu.stage import Stage

TOP = "part"
"""Module of a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A multiplier that was cut out of a part: its operands became outputs, its product an input."""

    a_width: int
    b_width: int
    y_width: int
    signed: bool
    """Whether operands and product are two's complement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a lane as RTLIL text, and its ports."""

    text: str
    """Module `part`, for Yosys."""
    inputs: dict[str, Range]
    """Ports and what they can be."""
    outputs: dict[str, Range]
    """Ports and what they can be; one that carries on an input's name ends in `_out`."""
    cuts: tuple[Cut, ...]
    """The multipliers n = 0, 1, ... that were cut: ports `cut_n_a`, `cut_n_b`, `cut_n_y`."""


def chain(stages: Sequence[Stage]) -> Part:
    """Return stages one behind the other as one part; its inputs are those that no stage before makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        component = Chain(stages)
        text = rtlil.convert(component, name=TOP, emit_src=False)
    text, cuts = cut_products(text)
    outputs = {port: component.ranges[name] for port, name in component.made_names.items()}
    return Part(text=text, inputs=component.given_ranges, outputs=outputs, cuts=cuts)


class Chain(wiring.Component):  # type: ignore[misc]  # Amaranth ships no types: its Component is Any
    """Stages one behind the other, without registers, as a component.

    Members: `given_ranges` (in: the numbers that no stage makes) and `made_names` (out: port -> name of the numbers
    that none of them takes, or that the last one makes; a port whose name is taken ends in `_out`). Combinational.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages
        self.given_ranges: dict[str, Range] = {}
        self.ranges: dict[str, Range] = {}
        for stage in stages:
            for name, of in stage.inputs.items():
                if name in self.ranges:
                    assert self.ranges[name] == of, f"{stage.label} takes another range of {name} than was made"
                else:
                    self.given_ranges.setdefault(name, of)
            self.ranges |= stage.outputs
        used = {name for stage in stages for name in stage.inputs}
        last = {n for n in self.ranges if n in stages[-1].outputs or n not in used}
        self.made_names = {
            f"{name}_out" if name in self.given_ranges else name: name for name in self.ranges if name in last
        }
        ports: dict[str, Any] = {name: In(shape(of)) for name, of in self.given_ranges.items()}
        super().__init__(ports | {port: Out(shape(self.ranges[name])) for port, name in self.made_names.items()})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        values = {name: getattr(self, name) for name in self.given_ranges}
        for stage in self.stages:
            values |= stage.place(m, "", **values)
        m.d.comb += [getattr(self, port).eq(values[name]) for port, name in self.made_names.items()]
        return m


_PRODUCT = re.compile(r"^  cell \$mul (\S+)\n((?:    (?:parameter|connect|attribute) .*\n)*)  end\n", re.MULTILINE)


def cut_products(text: str) -> tuple[str, tuple[Cut, ...]]:
    """Return the RTLIL with every multiplier replaced by two outputs (its operands) and an input (its product)."""
    cuts: list[Cut] = []
    ports = max((int(number) for number in re.findall(r"(?:input|output) (\d+)", text)), default=0) + 1

    def ends(cell: re.Match[str]) -> str:
        told = dict(re.findall(r"(?:parameter|connect) \\(\w+) (.+)", cell.group(2)))
        cut = Cut(
            a_width=int(told["A_WIDTH"], 0),
            b_width=int(told["B_WIDTH"], 0),
            y_width=int(told["Y_WIDTH"], 0),
            signed=told["A_SIGNED"].rstrip().endswith("1"),
        )
        number, first = len(cuts), ports + 3 * len(cuts)
        cuts.append(cut)
        return (
            f"  wire width {cut.a_width} output {first} \\cut_{number}_a\n"
            f"  wire width {cut.b_width} output {first + 1} \\cut_{number}_b\n"
            f"  wire width {cut.y_width} input {first + 2} \\cut_{number}_y\n"
            f"  connect \\cut_{number}_a {told['A']}\n"
            f"  connect \\cut_{number}_b {told['B']}\n"
            f"  connect {told['Y']} \\cut_{number}_y\n"
        )

    return _PRODUCT.sub(ends, text), tuple(cuts)
