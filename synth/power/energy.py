"""Energy of a netlist over the window of a trace, by part.

    nets          sum over nets and edges of 1/2 C V^2, C the capacitances of the input pins on the net (no wires)
    cells         sum over edges of the energies that Liberty's `internal_power` gives for them
    clock nets, clock cells   the same for nets between the clock port and flip-flops, and for clock pins
    leakage       sum over cells of leakage power (Liberty's, by state) times time

fJ; capacitances fF, V = the library's nominal voltage, leakage nW.

* A condition (`when`) is judged on the settled values in front of an edge, with the clocks already at their new value:
  the clock comes first, then what it moves. Where several inputs of a cell changed with its output, the energies that
  they name for it are averaged.
* Tables are read at the load of the net and at one transition for all: that behind a chain of the library's `driver`
  buffers, each driving four of its kind. Transitions are not propagated.
* The pins that the unit drives beyond its output ports belong to what follows; those on its input nets are its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from golden_model.errors import UserError
from synth import liberty
from synth.liberty import Library
from synth.power.cells import Arc, Electric, Floats, Tables
from synth.power.functions import Bits, Function
from synth.power.simulate import Activity, Stimulus, simulate

Values: TypeAlias = Mapping[str, Bits]
FANOUT = 4
"""Buffers that each buffer of the chain drives, whose transition stands for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Energy of one cycle of steady streaming, mean over a window. A part that the library has no table for is None."""

    cycles: int
    """Cycles of the window."""
    words: int
    """Words that were compared with the golden model, all equal."""
    nets: float
    """Switched load of nets that are no clock, fJ a cycle."""
    cells: float | None
    """Internal energy of cells, fJ a cycle."""
    clock_nets: float
    """Switched load of the clock, fJ a cycle."""
    clock_cells: float | None
    """Internal energy at clock pins and in clock gates, fJ a cycle."""
    leakage_nw: float | None
    """Leakage, nW."""
    toggles: float
    """Edges of a net and cycle, mean over the nets that are no clock."""
    without_table: tuple[str, ...]
    """Cells of the netlist that have no internal energy or no leakage, where the library has any: they count 0."""

    def cycle_fj(self, period_ps: float) -> float:
        """Return the energy of a cycle at a clock period, all parts that there are, fJ."""
        switched = self.nets + self.clock_nets + (self.cells or 0.0) + (self.clock_cells or 0.0)
        return switched + self.leakage_fj(period_ps)

    def leakage_fj(self, period_ps: float) -> float:
        """Return the leakage of a cycle, fJ: nW x ps is 1e-6 fJ."""
        return (self.leakage_nw or 0.0) * period_ps * 1e-6

    def microwatts(self, period_ps: float) -> float:
        """Return the power at a clock period, uW: fJ / ps is mW."""
        return 1e3 * self.cycle_fj(period_ps) / period_ps


def tables(library: Library) -> Tables:
    """Return the energies of a library's cells."""
    return Tables(liberty.parse(Path(library.name), library.text), library.load_ff)


def transition(library: Library, energies: Tables) -> float:
    """Return the input transition at which tables are read, the library's unit of time: the mean of edges and arcs.

    Raises UserError for a library whose buffer has no table of transitions.
    """
    found = energies.transitions(library.driver.name)
    if not found:
        raise UserError(f"{library.name}: {library.driver.name} has no table of its transitions")
    loads = np.array([FANOUT * library.driver.load])
    slew = 0.0
    for _ in range(100):  # the chain forgets what came in: a buffer's transition depends little on its input's
        slew = float(np.mean([table.at(slew, loads)[0] for table in found]))
    return slew


def measure(
    module: Any, top: str, library: Library, stimulus: Stimulus, folder: Path, *, energies: Tables | None = None
) -> Power:
    """Simulate a mapped module (Yosys' JSON) under a stimulus and return its energy a cycle.

    Raises UserError where Icarus Verilog is missing, RuntimeError where the netlist does not do what the golden model
    says.
    """
    energies = energies or tables(library)
    module = _whole(module, library)
    kinds = sorted({cell["type"] for cell in module["cells"].values()})
    models = [energies.cell(kind).model for kind in kinds]
    activity = simulate(module, top, models, stimulus, folder)
    return integrate(module, library, energies, activity, words=len(stimulus.expected))


def _whole(module: Any, library: Library) -> Any:
    """Return the module with a net on every output: one that nothing reads switches all the same, and is asked for."""
    bits = (bit for cell in module["cells"].values() for wires in cell["connections"].values() for bit in wires)
    fresh = count(1 + max([bit for bit in bits if isinstance(bit, int)], default=0))
    cells = {}
    for name, cell in module["cells"].items():
        wires = cell["connections"]
        open_ = {pin: [next(fresh)] for pin in library.cells[cell["type"]].outputs if not wires.get(pin)}
        cells[name] = cell | {"connections": wires | open_}
    return module | {"cells": cells}


def integrate(module: Any, library: Library, energies: Tables, activity: Activity, *, words: int) -> Power:
    """Return the energy of an activity."""
    sum_ = _Sum(module, library, energies, activity)
    groups: dict[str, list[Any]] = defaultdict(list)
    for cell in module["cells"].values():
        groups[cell["type"]].append(cell["connections"])
    internal = any(energies.cell(kind).internal for kind in groups)
    leaking = any(energies.cell(kind).leakage for kind in groups)
    for kind, cells in groups.items():
        sum_.add(energies.cell(kind), cells)
    lacking = [
        kind
        for kind in sorted(groups)
        if (internal and not energies.cell(kind).internal) or (leaking and not energies.cell(kind).leakage)
    ]
    switched = sum_.edges * sum_.loads * energies.voltage**2 / 2
    clock = sum_.clocks
    return Power(
        cycles=activity.cycles,
        words=words,
        nets=float(switched[~clock].sum()) / activity.cycles,
        clock_nets=float(switched[clock].sum()) / activity.cycles,
        cells=sum_.cells / activity.cycles if internal else None,
        clock_cells=sum_.clock_cells / activity.cycles if internal else None,
        leakage_nw=sum_.leakage if leaking else None,
        toggles=float(sum_.edges[~clock].mean()) / activity.cycles if (~clock).any() else 0.0,
        without_table=tuple(lacking),
    )


class _Sum:
    """Adds up what the cells of a netlist take."""

    def __init__(self, module: Any, library: Library, energies: Tables, activity: Activity) -> None:
        self._values = activity.values
        self._place = activity.place
        self.edges = (activity.values[1:] != activity.values[:-1]).sum(axis=0)
        self.loads = np.zeros(activity.values.shape[1])
        self.clocks = np.zeros(activity.values.shape[1], np.bool_)
        self._find(module, library, energies)
        self._slew: float | None = None
        self._library, self._energies = library, energies
        self.cells = self.clock_cells = self.leakage = 0.0

    def _find(self, module: Any, library: Library, energies: Tables) -> None:
        """Find every net's load, and the nets that a clock reaches: behind buffers, inverters and clock gates."""
        reaches: dict[int, list[int]] = defaultdict(list)
        for cell in module["cells"].values():
            electric, wires = energies.cell(cell["type"]), cell["connections"]
            known = library.cells[cell["type"]]
            for pin, load in electric.loads.items():
                for bit in wires.get(pin, []):
                    if isinstance(bit, int):
                        self.loads[self._place[bit]] += load
                        if len(electric.loads) == 1 or (known.gates_clock and pin in electric.clock):
                            reaches[bit] += [out for pin in electric.outputs for out in wires.get(pin, [])]
        waiting = [bit for bit in module["ports"].get("clk", {"bits": []})["bits"] if isinstance(bit, int)]
        while waiting:
            bit = waiting.pop()
            if not self.clocks[self._place[bit]]:
                self.clocks[self._place[bit]] = True
                waiting += [each for each in reaches[bit] if isinstance(each, int)]

    @property
    def slew(self) -> float:
        """The transition at which tables are read; asked for only where there is a table."""
        if self._slew is None:
            self._slew = transition(self._library, self._energies)
        return self._slew

    def add(self, cell: Electric, instances: Sequence[Any]) -> None:
        """Add all instances of one cell."""
        steps = self._values.shape[0]
        pins = [*cell.loads, *cell.outputs]
        values, places = {}, {}
        for pin in pins:
            bits = [(wires.get(pin) or ["0"])[0] for wires in instances]
            place = np.array([self._place[bit] if isinstance(bit, int) else -1 for bit in bits])
            tied = np.array([bit == "1" for bit in bits])
            values[pin] = np.where(place >= 0, self._values[:, place], np.broadcast_to(tied, (steps, len(tied))))
            places[pin] = place
        behind = {pin: value[1:] for pin, value in values.items()}
        judged = {pin: behind[pin] if pin in cell.clock else value[:-1] for pin, value in values.items()}
        changed = {pin: value[1:] != value[:-1] for pin, value in values.items()}
        settled = _weighed([when for when, _ in cell.leakage], behind)
        self.leakage += sum(
            float((w * power).sum()) / (steps - 1) for w, (_, power) in zip(settled, cell.leakage, strict=True)
        )
        for pin, arcs in cell.internal.items():
            loads = np.where(places[pin] >= 0, self.loads[places[pin]], 0.0)
            energy = self._own if pin in cell.loads else self._driven
            taken = energy(arcs, changed, judged, loads, changed[pin], behind[pin])
            clock = np.where(places[pin] >= 0, self.clocks[places[pin]], False) | (pin in cell.clock)
            self.clock_cells += float(taken[:, clock].sum())
            self.cells += float(taken[:, ~clock].sum())

    def _edge(self, arc: Arc, loads: Floats, rising: Bits) -> Floats:
        """Return an arc's energy of a rising or a falling edge; none where it has no table for it."""
        rise, fall = (np.zeros_like(loads) if t is None else t.at(self.slew, loads) for t in (arc.rise, arc.fall))
        return np.where(rising, rise, fall)

    def _own(
        self, arcs: Sequence[Arc], changed: Values, judged: Values, loads: Floats, edge: Bits, rising: Bits
    ) -> Floats:
        """Return the energy of an input pin's edges."""
        weights = _weighed([arc.when for arc in arcs], judged)
        parts = (w * edge * self._edge(arc, loads, rising) for w, arc in zip(weights, arcs, strict=True))
        return np.asarray(sum(parts), np.float64)

    def _driven(
        self, arcs: Sequence[Arc], changed: Values, judged: Values, loads: Floats, edge: Bits, rising: Bits
    ) -> Floats:
        """Return the energy of an output's edges: the mean over the inputs that changed with it."""
        total, causes = np.zeros(edge.shape), np.zeros(edge.shape)
        every = np.zeros(edge.shape)
        for related in dict.fromkeys(arc.related for arc in arcs):
            own = [arc for arc in arcs if arc.related == related]
            moved = np.logical_or.reduce([changed[pin] for pin in related]) if related else np.ones_like(edge)
            for weight, arc in zip(_weighed([arc.when for arc in own], judged), own, strict=True):
                energy = self._edge(arc, loads, rising)
                total += weight * moved * energy
                causes += weight * moved
                every += energy
        mean = np.where(causes > 0, total / np.maximum(causes, 1), every / len(arcs))
        return np.asarray(edge * mean, np.float64)


def _weighed(conditions: Sequence[Function | None], values: Values) -> list[Bits]:
    """Return where each condition holds; the empty one where none of the others does."""
    held = [None if condition is None else condition.of(values) for condition in conditions]
    shape = next(iter(values.values())).shape
    some = np.logical_or.reduce([np.zeros(shape, np.bool_), *(each for each in held if each is not None)])
    return [~some if each is None else each for each in held]
