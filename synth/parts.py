"""Where the area of a mapped unit goes: arithmetic, parameter store, control, flags, told apart by structure.

The classes are those that faults are drawn from (`synth.mutation`): no names inside the unit are asked, only its ports.
A gate belongs to the first class that it leads to: whatever decides ready, valid and idle is control, whatever holds,
addresses or reads parameters is the store, what leads to the flags alone is flags, and the rest is arithmetic with its
pipeline registers. A component without those ports is arithmetic as a whole. Gates that ABC shares between two classes
count once, for the earlier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from synth.liberty import Kind, Library
from synth.mapping import Netlist
from synth.mutation import Netlist as Graph
from synth.mutation import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one class of cells takes."""

    part: Part
    """The class."""
    cells: int
    """Cells of it, flip-flops among them."""
    flops: int
    """Flip-flops of it: one bit each."""
    area: float
    """Area of its cells, as the library says."""
    flop_area: float
    """Area of its flip-flops alone."""


def _plain(module: Any, library: Library) -> Graph:
    """Return a mapped netlist as a graph of gates and plain `$dff` cells, whatever the library calls its pins."""
    cells = {}
    for name, cell in module["cells"].items():
        kind = library.cells[cell["type"]]
        wires = cell["connections"]
        if kind.kind is Kind.FLOP:
            held = [bit for pin in kind.outputs for bit in wires.get(pin, [])]
            data = [bit for pin in kind.inputs if pin != kind.clock for bit in wires.get(pin, [])]
            cells[name] = {
                "type": "$dff",
                "port_directions": {"CLK": "input", "D": "input", "Q": "output"},
                "connections": {"CLK": wires.get(kind.clock, []), "D": data, "Q": held},
            }
        else:
            ways = {pin: "output" if pin in kind.outputs else "input" for pin in wires}
            cells[name] = {"type": cell["type"], "port_directions": ways, "connections": wires}
    return Graph({"cells": cells, "ports": module["ports"]})


def shares(netlist: Netlist, library: Library) -> tuple[Share, ...]:
    """Return what each class takes, in the order of `Part`; classes without a cell are left out."""
    part_of = _plain(netlist.module, library).parts()
    cells = netlist.module["cells"]

    def share(part: Part, names: Iterable[str]) -> Share:
        kinds = [library.cells[cells[name]["type"]] for name in names]
        flops = [kind for kind in kinds if kind.kind is Kind.FLOP]
        areas = sum(kind.area for kind in kinds), sum(kind.area for kind in flops)
        return Share(part=part, cells=len(kinds), flops=len(flops), area=areas[0], flop_area=areas[1])

    found = (share(part, [name for name, own in part_of.items() if own is part]) for part in Part)
    return tuple(each for each in found if each.cells)


def depth(netlist: Netlist, library: Library) -> int:
    """Return the logic depth: the largest number of gates on any path between ports and flip-flops."""
    graph = _plain(netlist.module, library)
    gates = {name: cell for name, cell in graph.cells.items() if not graph.is_flop(name)}
    driver = {
        bit: name
        for name, cell in gates.items()
        for pin, way in cell["port_directions"].items()
        if way == "output"
        for bit in cell["connections"][pin]
    }
    before = {
        name: {
            driver[bit]
            for pin, way in cell["port_directions"].items()
            if way == "input"
            for bit in cell["connections"][pin]
            if bit in driver
        }
        for name, cell in gates.items()
    }
    levels: dict[str, int] = {}
    waiting = list(gates)
    while waiting:
        name = waiting[-1]
        missing = [each for each in before[name] if each not in levels] if name not in levels else []
        if missing:
            waiting += missing
        else:
            levels.setdefault(waiting.pop(), 1 + max((levels[each] for each in before[name]), default=0))
    return max(levels.values(), default=0)
