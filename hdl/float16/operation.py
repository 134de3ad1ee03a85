"""Operations of several steps: combinational functions in a row, with registers behind some of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.pipeline import Pipeline

Values: TypeAlias = dict[str, Any]
Compute: TypeAlias = Callable[[Module, str, Values], Values]
"""Module, prefix of wire names, inputs by name -> outputs by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One combinational part of an operation. No clock, no state, no back pressure."""

    name: str
    """Name in the hardware."""
    takes: tuple[str, ...]
    """Operands and results of earlier parts that it uses."""
    gives: tuple[str, ...]
    """What it adds to them."""
    compute: Compute
    """What it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Parts in the order of the data; the last one gives `result`.

    The latency is the number of registers, the throughput one operation a cycle.
    """

    operands: Mapping[str, Any]
    """Shape of every operand."""
    results: Mapping[str, Any]
    """Shape of everything that the last part gives: `result`, and what else it says of it."""
    parts: tuple[Part, ...]
    """What it does."""
    registers: frozenset[str]
    """Names of the parts with a register behind them."""

    @property
    def latency(self) -> int:
        """Return the cycles from operands to result."""
        return sum(part.name in self.registers for part in self.parts)

    def then(self, *parts: Part) -> "Operation":
        """Return the operation with more parts in its last cycle: a register behind the last part moves to the end."""
        last, end = self.parts[-1].name, parts[-1].name
        registers = frozenset(end if name == last else name for name in self.registers)
        return replace(self, parts=(*self.parts, *parts), registers=registers)

    def place(self, line: Pipeline, name: str, step: int, **operands: str) -> int:
        """Place the operation on a pipeline at a step, operands by their names there; return the step of the result.

        The result is `<name>` on the pipeline, everything else `<name>_<value>`. An operand is taken where a part uses
        it: what is not used at once comes through the pipeline's own delays, or later from where it is made.
        """
        known = dict(operands)
        for part in self.parts:
            outputs = {
                give: name if give == "result" and part is self.parts[-1] else f"{name}_{give}" for give in part.gives
            }
            line.place(
                _Bound(part, name, {take: known[take] for take in part.takes}, outputs, part.name in self.registers),
                step,
            )
            step += part.name in self.registers
            known |= outputs
        return step

    def component(self) -> "Alone":
        """Return the operation as a component of its own."""
        return Alone(self)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A part at its place: the names of its numbers on the pipeline."""

    part: Part
    operation: str
    takes: dict[str, str]
    gives: dict[str, str]
    registered: bool

    @property
    def label(self) -> str:
        return f"{self.operation}_{self.part.name}"

    @property
    def latency(self) -> int:
        return int(self.registered)

    @property
    def inputs(self) -> list[str]:
        return list(dict.fromkeys(self.takes.values()))

    @property
    def outputs(self) -> list[str]:
        return list(self.gives.values())

    def place(self, m: Module, lane: str, **values: Any) -> Values:
        found = self.part.compute(m, self.label, {take: values[name] for take, name in self.takes.items()})
        placed = {}
        for give, name in self.gives.items():
            wire = Signal(found[give].shape(), name=f"{self.label}_{give}")
            m.d.comb += wire.eq(found[give])
            placed[name] = wire
        return placed


class Alone(wiring.Component):
    """An operation as a component: operands in, results out, one a cycle.

    Latency: the operation's. No back pressure; with `enable` low all registers hold.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        ports: dict[str, Any] = {"enable": In(1)} if operation.latency else {}
        ports |= {name: In(of) for name, of in operation.operands.items()}
        super().__init__(ports | {name: Out(of) for name, of in operation.results.items()})

    @property
    def latency(self) -> int:
        """Return the cycles from operands to result."""
        return self.operation.latency

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        line = Pipeline(m, self.enable if self.latency else Const(1), 1)
        for name in self.operation.operands:
            line.put(name, [getattr(self, name)])
        end = self.operation.place(line, "o", 0, **{name: name for name in self.operation.operands})
        for name in self.operation.results:
            m.d.comb += getattr(self, name).eq(line.get("o" if name == "result" else f"o_{name}", end)[0])
        return m
