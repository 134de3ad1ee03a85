"""What a Liberty file says of a cell's energy, and the cell as a Verilog model.

Energies are in fJ, capacitances in fF, leakage in nW, transitions in the library's unit of time. Liberty's unit of
internal energy is its unit of capacitance times volt squared. Where a cell tells its supplies apart (`related_pg_pin`),
only those that are not at 0 V count: over a full cycle as much charge leaves through ground as came from the supply, so
that the ground's tables are the same energy again (ASAP7 has both).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError
from synth.liberty import Group
from synth.power import functions
from synth.power.functions import Function

Floats = NDArray[np.float64]
_LOAD = "total_output_net_capacitance"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Energy (or a transition) over input transition and output load; linear between points, constant beyond them."""

    slews: Floats
    """Input transitions of the rows."""
    loads: Floats
    """Output loads of the columns."""
    values: Floats
    """Rows by columns."""

    def at(self, slew: float, loads: Floats) -> Floats:
        """Return the values at one input transition and some output loads."""
        row = np.array([np.interp(slew, self.slews, column) for column in self.values.T])
        return np.asarray(np.interp(loads, self.loads, row), np.float64)


@dataclass(frozen=True, slots=True)
class Arc:
    """One `internal_power` group: an energy for an edge of its pin, under a condition."""

    related: frozenset[str]
    """Input pins whose edge caused it; empty for an energy of the pin's own edge."""
    when: Function | None
    """Condition; None is wherever no condition of another group holds."""
    rise: Table | None
    """Energy of a rising edge of the pin."""
    fall: Table | None
    """Energy of a falling edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Electric:
    """One cell."""

    loads: dict[str, float]
    """Capacitance of every input pin, fF."""
    outputs: tuple[str, ...]
    """Its output pins."""
    clock: frozenset[str]
    """Input pins that are clocks."""
    internal: dict[str, tuple[Arc, ...]]
    """Internal energies by pin."""
    leakage: tuple[tuple[Function | None, float], ...]
    """Leakage by state, nW; None is wherever no condition holds. Empty where the library says nothing."""
    model: str
    """The cell as a Verilog module."""


class Tables:
    """The energies of a library: `cell(name)` reads a cell when it is first asked for."""

    def __init__(self, library: Group, load_ff: float) -> None:
        self._library, self._load_ff = library, load_ff
        self._groups = {group.name: group for group in library.named("cell")}
        self._templates = {group.name: group for group in library.named("power_lut_template", "lu_table_template")}
        self._cells: dict[str, Electric] = {}
        maps = re.findall(r"voltage_map\s*\(\s*\"?(\w+)\"?\s*,\s*([-\d.eE]+)\s*\)", library.source)
        self._ground = {name for name, volts in maps if float(volts) == 0}
        told = library.attribute("nom_voltage")
        if not told:
            raise UserError("the library does not say its nom_voltage: without it there is no energy")
        self.voltage = float(told)
        """Supply, V."""
        self._load = library.attribute("default_input_pin_cap") or "0"
        self._leakage_nw = _power_nw(library.attribute("leakage_power_unit"))

    def cell(self, name: str) -> Electric:
        """Return what the library says of a cell."""
        if name not in self._cells:
            self._cells[name] = self._read(self._groups[name])
        return self._cells[name]

    def transitions(self, name: str) -> tuple[Table, ...]:
        """Return the output transitions of a cell, of every arc, rising and falling."""
        timings = (timing for pin in self._groups[name].named("pin") for timing in pin.named("timing"))
        tables = (each for timing in timings for each in timing.named("rise_transition", "fall_transition"))
        return tuple(self._table(each, 1.0) for each in tables)

    def _read(self, group: Group) -> Electric:
        pins = list(group.named("pin"))
        inputs = [pin for pin in pins if pin.attribute("direction") == "input"]
        outputs = [pin for pin in pins if pin.attribute("direction") == "output"]
        grounds = {rail.name for rail in group.named("pg_pin") if rail.attribute("voltage_name") in self._ground}
        grounds |= {rail.name for rail in group.named("pg_pin") if rail.attribute("pg_type").endswith("ground")}

        def counted(each: Group) -> bool:
            return each.attribute("related_pg_pin") not in grounds

        def condition(each: Group) -> Function | None:
            told = each.attribute("when")
            found = functions.read(told) if told else None
            strange = found.pins - {pin.name for pin in inputs + outputs} if found else ()
            if strange:
                raise UserError(
                    f"{group.name}: energy under the condition {told!r}, and {min(strange)} is no pin of it"
                )
            return found

        def arc(each: Group) -> Arc:
            rise, fall = (next(each.named(kind, "power"), None) for kind in ("rise_power", "fall_power"))
            energies = (None if table is None else self._table(table, self._load_ff) for table in (rise, fall))
            return Arc(frozenset(each.attribute("related_pin").split()), condition(each), *energies)

        internal = {pin.name: tuple(arc(each) for each in pin.named("internal_power") if counted(each)) for pin in pins}
        leakage = [
            (condition(each), float(each.attribute("value")) * self._leakage_nw)
            for each in group.named("leakage_power")
            if counted(each)
        ]
        mean = group.attribute("cell_leakage_power")
        if mean and all(when is not None for when, _ in leakage):
            leakage.append((None, float(mean) * self._leakage_nw))
        return Electric(
            loads={pin.name: self._load_ff * float(pin.attribute("capacitance") or self._load) for pin in inputs},
            outputs=tuple(pin.name for pin in outputs),
            clock=frozenset(pin.name for pin in inputs if pin.attribute("clock") == "true"),
            internal={name: arcs for name, arcs in internal.items() if arcs},
            leakage=tuple(leakage),
            model=_model(group, inputs, outputs),
        )

    def _table(self, group: Group, scale: float) -> Table:
        """Return a table, its indices from the group or from its template; loads in fF, values times `scale`."""
        template = self._templates.get(group.name)

        def index(number: int) -> Floats:
            own = _numbers(group, f"index_{number}")
            return own if own.size or template is None else _numbers(template, f"index_{number}")

        values = _numbers(group, "values") * scale
        first, second = index(1), index(2)
        one = np.zeros(1)
        if group.name == "scalar" or not first.size:
            return Table(one, one, values.reshape(1, 1))
        by_load = template is not None and template.attribute("variable_1") == _LOAD
        if not second.size:
            if by_load:
                return Table(one, first * self._load_ff, values.reshape(1, -1))
            return Table(first, one, values.reshape(-1, 1))
        grid = values.reshape(first.size, second.size)
        if by_load:
            return Table(second, first * self._load_ff, grid.T)
        return Table(first, second * self._load_ff, grid)


def _power_nw(told: str) -> float:
    """Return a unit of power in nW; Liberty's text is `1pW`."""
    parts = re.fullmatch(r"([\d.]+)\s*([munpf]?)W", told or "1nW")
    if parts is None:
        raise UserError(f"leakage_power_unit {told!r} is none that is known, as 1nW or 1pW")
    return float(parts.group(1)) * {"": 1e9, "m": 1e6, "u": 1e3, "n": 1.0, "p": 1e-3, "f": 1e-6}[parts.group(2)]


def _numbers(group: Group, name: str) -> Floats:
    """Return the numbers of a complex attribute, empty where the group has none."""
    found = re.search(rf"\b{name}\s*\(([^)]*)\)", group.source[group.open : group.end])
    told = re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", found.group(1)) if found else []
    return np.array([float(each) for each in told])


def _model(group: Group, inputs: list[Group], outputs: list[Group]) -> str:
    """Return a cell as a Verilog module: functions as they stand, flip-flops and latches without delay."""
    ports = [f"input {pin.name}" for pin in inputs] + [f"output {pin.name}" for pin in outputs]
    body = [line for kind in ("ff", "latch", "statetable") for each in group.named(kind) for line in _storage(each)]
    for pin in outputs:
        told = pin.attribute("function") or pin.attribute("state_function")
        if told:
            body.append(f"assign {pin.name} = {functions.read(told).verilog};")
    return "\n  ".join([f"module {group.name}({', '.join(ports)});", *body]) + "\nendmodule\n"


def _storage(group: Group) -> Iterator[str]:
    """Yield the lines of what a cell stores."""
    head = re.findall(r"\w+", group.source[group.start : group.open])

    def told(name: str) -> str:
        text = group.attribute(name)
        return functions.read(text).verilog if text else ""

    if group.kind == "statetable":
        names, kept = re.findall(r'"([^"]*)"', group.source[group.start : group.open])[:2]
        yield f"reg {kept};"
        yield f"always @* casez ({{{', '.join(names.split())}}})"
        # a row: inputs, the state before, the state behind; N holds it, so that only L and H write
        for row in re.findall(r"([LH\-\s]+):[^:]*:\s*([LHN])", group.source[group.open : group.end]):
            bits = "".join({"L": "0", "H": "1", "-": "?"}[sign] for sign in row[0].split())
            action = f"{kept} = 1'b{int(row[1] == 'H')};" if row[1] in "LH" else ";"
            yield f"  {len(bits)}'b{bits}: {action}"
        yield "endcase"
        return
    state, inverse = head[1:3]
    yield f"reg {state}; wire {inverse} = ~{state};"
    clear, preset = told("clear"), told("preset")
    forced = [f"if ({clear}) {state} <= 1'b0; else "] if clear else []
    forced += [f"if ({preset}) {state} <= 1'b1; else "] if preset else []
    if group.kind == "ff":
        yield f"wire edge_ = {told('clocked_on')};"
        yield "".join([f"wire clear_ = {clear}; "] * bool(clear) + [f"wire preset_ = {preset};"] * bool(preset))
        edges = ["posedge edge_"] + ["posedge clear_"] * bool(clear) + ["posedge preset_"] * bool(preset)
        yield f"always @({' or '.join(edges)}) {''.join(forced)}{state} <= {told('next_state')};"
    else:
        yield f"always @* {''.join(forced)}if ({told('enable')}) {state} = {told('data_in')};".replace("<=", "=")
