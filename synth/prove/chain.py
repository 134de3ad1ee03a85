"""The parts that are proved: stages of a lane one behind the other, without registers, their multipliers cut free.

A multiplier that leaves two rows (`hdl.carry_save`) becomes a product that is cut, two rows that are free, and an
equation between them that is given: `multipliers` proves it of the hardware, for all operands.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Instance, Module, Signal, UnusedElaboratable
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from hdl.carry_save import Addend, Row, multiply_add
from hdl.fixed import Number, shape
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
    given: int = 0
    """Equations that hold: outputs `given_0`, `given_1`, ... are 1."""
    rows: tuple[Rows, ...] = ()
    """What the multipliers n = 0, 1, ... add to their products, where they leave two rows."""


def chain(stages: Sequence[Stage]) -> Part:
    """Return stages one behind the other as one part; its inputs are those that no stage before makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        component = Chain(stages, boxes=True)
        text = rtlil.convert(component, name=TOP, emit_src=False)
    text, cuts = cut_products(text)
    text, free, given = _open(text)
    outputs = {port: component.ranges[name] for port, name in component.made_names.items()}
    inputs = component.given_ranges | free
    return Part(text=text, inputs=inputs, outputs=outputs, cuts=cuts, given=given, rows=tuple(component.rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A multiplier that leaves two rows: its operands, and what it adds."""

    a: Range
    """The first operand."""
    b: Range
    """The second: a scale, never negative."""
    c: Range | None
    """What is added to the product, times 2**place and with a constant; None where nothing is."""
    place: int
    constant: int
    width: int
    """Bits of a row."""


class Chain(wiring.Component):  # type: ignore[misc]  # Amaranth ships no types: its Component is Any
    """Stages one behind the other, without registers, as a component.

    Members: `given_ranges` (in: the numbers that no stage makes) and `made_names` (out: port -> name of the numbers
    that none of them takes, or that the last one makes; a port whose name is taken ends in `_out`). Combinational. With
    `boxes`, multipliers that leave two rows are boxes.
    """

    def __init__(self, stages: Sequence[Stage], *, boxes: bool = False) -> None:
        self.stages, self.boxes = stages, boxes
        self.rows: list[Rows] = []
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
            if self.boxes:
                stage.multiply_add = self._box
            values |= stage.place(m, "", **values)
        m.d.comb += [getattr(self, port).eq(values[name]) for port, name in self.made_names.items()]
        return m

    def _box(self, m: Module, a: Number, b: Number, addend: Addend | None, width: int, name: str) -> list[Row]:
        """Return two free rows where the multiplier's are, with what is given of them."""
        c, place, constant = (addend.number.range, addend.low, addend.constant) if addend else (None, 0, 0)
        self.rows.append(Rows(a=a.range, b=b.range, c=c, place=place, constant=constant, width=width))
        rows, total, real = [], a.value * b.value, Module()
        made = multiply_add(real, a, b, addend, width, name)
        Fragment.get(real, None)  # or it is reported as forgotten: only the rows' places are wanted of it
        for row in made:
            free = Signal(len(row.value))
            m.submodules += Instance("free", o_Y=free)
            rows.append(Row(row.low, free, row.time))
        if addend is not None:
            total = total + (addend.number << addend.low).value + addend.constant
        whole, holds = rows[0].bits(0, width) + rows[1].bits(0, width), Signal()
        m.d.comb += holds.eq((whole - total)[:width] == 0 if a.range.lo < 0 else whole == total)
        m.submodules += Instance("given", i_A=holds)
        return rows


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


def _open(text: str) -> tuple[str, dict[str, Range], int]:
    """Return the RTLIL with free rows as inputs and what is given of them as outputs, both, and how many are given."""
    port = max(int(number) for number in re.findall(r"(?:input|output) (\d+)", text)) + 1
    free: dict[str, Range] = {}
    given = 0

    def opened(cell: re.Match[str]) -> str:
        nonlocal port, given
        kind, wire, port = cell.group(1), cell.group(2), port + 1
        if kind == "given":
            given += 1
            return f"  wire output {port} \\given_{given - 1}\n  connect \\given_{given - 1} {wire}\n"
        told = re.search(rf"^  wire (?:width (\d+) )?{re.escape(wire.split()[0])}$", text, re.MULTILINE)
        assert told is not None, wire
        width, name = int(told.group(1) or 1), f"free_{len(free)}"
        free[name] = Range(0, (1 << width) - 1)
        return f"  wire width {width} input {port} \\{name}\n  connect {wire} \\{name}\n"

    return _BOXES.sub(opened, text), free, given


_BOXES = re.compile(
    r"^  cell \\(free|given) \S+\n(?:    attribute .*\n)*    connect \\[AY] (.+)\n  end\n", re.MULTILINE
)
