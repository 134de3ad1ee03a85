"""The shipped Verilog is the proved parts and what lies between them: shown on the netlists, cell by cell.

The unit is built a second time with every stage of every lane as a module of its own, the very component whose formula
is proved. Flattened, that netlist and the shipped text are walked side by side from the output ports: at every bit both
must be driven by the same kind of cell, with the same parameters, at the same port, and so on backwards through
flip-flops and memories to the input ports. Two netlists that agree all the way do the same in every cycle.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Module, Shape, UnusedElaboratable

from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu import Nmpu, Schedule
from hdl.nmpu.stage import Stage
from synth.prove.chain import Chain
from synth.prove.obligation import Outcome, Verdict
from synth.verilog import PASSES, elaborate
from synth.yowasp import run

_READ = (
    "hierarchy -check -top nmpu; proc; flatten; delete t:$scopeinfo;"
    f"{' opt_expr; opt_clean; wreduce;' * 5} memory_collect; opt_clean"
)
"""From either text to one flat module of word-level cells, each as narrow as it can be: what a single `wreduce` leaves
depends on the order of the cells."""


def boxed(config: NmpuConfig) -> tuple[str, int]:
    """Return the RTLIL of a unit in which every stage of every lane is a module, and how many they are."""
    unit = Nmpu(config)
    schedule = Boxes(unit.schedule)
    unit.schedule = schedule  # type: ignore[assignment]  # in the place of the schedule, as far as the unit uses it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        return rtlil.convert(unit, name="nmpu", emit_src=False), schedule.count


class Boxes:
    """A unit's schedule whose stages place themselves as modules."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self.config = schedule.config
        self.count = 0
        self._plain: dict[type[Stage], type[Stage]] = {}
        self.stages = [self._box(stage) for stage in schedule.stages]

    @property
    def latency(self) -> int:
        """Return the unit's latency, cycles."""
        return self._schedule.latency

    def step(self, kind: type[Stage]) -> int:
        """Return the step in which a stage computes."""
        return self._schedule.step(self._plain.get(kind, kind))

    def reader(self, field: str) -> int:
        """Return the step that uses a parameter field."""
        return self._schedule.reader(field)

    def fill(self, m: Module, stage: Stage, lane: str, values: dict[str, Any]) -> dict[str, Any]:
        """Place a stage of a lane as a module; return its outputs."""
        alone = Chain([stage])
        m.submodules[f"box_{stage.label}{lane}"] = alone
        for name, of in stage.inputs.items():
            signed = of.lo < 0 and not Shape.cast(values[name].shape()).signed
            m.d.comb += getattr(alone, name).eq(values[name].as_signed() if signed else values[name])
        return {name: getattr(alone, port) for port, name in alone.made_names.items()}

    def _box(self, stage: Stage) -> Stage:
        boxes, plain = self, type(stage)

        def place(self: Stage, m: Module, lane: str, **values: Any) -> dict[str, Any]:
            boxes.count += 1
            return boxes.fill(m, plain(self.config), lane, values)

        kind = type(plain.__name__, (plain,), {"place": place})
        self._plain[kind] = plain
        made: Stage = kind(stage.config)
        return made


def prove_netlist(config: NmpuConfig, text: str | None = None) -> Outcome:
    """Compare the shipped text of a configuration with its boxed netlist; `text` stands in for the shipped one."""
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        (folder / "shipped.v").write_text(elaborate("nmpu", config) if text is None else text)
        parts, boxes = boxed(config)
        (folder / "boxed.il").write_text(parts)
        passes = "; ".join(PASSES[:-1])
        run(
            f"read_rtlil boxed.il; hierarchy -top nmpu; setattr -mod -set keep_hierarchy 1 nmpu.store\n"
            f"proc -norom; flatten; delete t:$scopeinfo; setattr -mod -unset keep_hierarchy nmpu.store; {passes}\n"
            f"write_verilog -norename boxed.v; design -reset\n"
            f"read_verilog boxed.v; {_READ}; write_json boxed.json; design -reset\n"
            f"read_verilog shipped.v; {_READ}; write_json shipped.json\n",
            folder,
        )
        netlists = [json.loads((folder / f"{name}.json").read_text()) for name in ("shipped", "boxed")]
    cells, difference = compare(*(netlist["modules"]["nmpu"] for netlist in netlists))
    name = "netlist"
    if difference:
        return Outcome(name=name, verdict=Verdict.REFUTED, why=difference)
    return Outcome(name=name, verdict=Verdict.PROVED, why=f"{boxes} boxes, {cells} cells the same")


def compare(first: Any, second: Any) -> tuple[int, str]:
    """Walk two flat modules (Yosys' JSON) side by side from their outputs; return the cells paired, and a difference.

    The second value is empty where they are the same.
    """
    ports = [{n: (p["direction"], len(p["bits"])) for n, p in module["ports"].items()} for module in (first, second)]
    if ports[0] != ports[1]:
        return 0, "the ports differ"
    drivers = [_drivers(module) for module in (first, second)]
    pairs: dict[Any, Any] = {}
    cells: dict[str, str] = {}
    waiting: list[tuple[Any, Any]] = []
    for name, (direction, _) in ports[0].items():
        bits = list(zip(first["ports"][name]["bits"], second["ports"][name]["bits"], strict=True))
        if direction == "input":
            pairs.update(bits)
        else:
            waiting += bits
    while waiting:
        one, other = waiting.pop()
        if isinstance(one, str) or isinstance(other, str):  # constants
            if one != other:
                return len(cells), f"constant {one} against {other}"
            continue
        if one in pairs:
            if pairs[one] != other:
                return len(cells), "one net against two"
            continue
        pairs[one] = other
        by, to = drivers[0].get(one), drivers[1].get(other)
        if by is None or to is None:
            return len(cells), "a net without a driver"
        a, b = first["cells"][by[0]], second["cells"][to[0]]
        if by[1:] == to[1:] and cells.get(by[0]) == to[0]:
            continue  # another bit of a pair of cells that was looked at
        if by[1:] != to[1:] or a["type"] != b["type"] or _parameters(a) != _parameters(b):
            return len(cells), f"{by[0]} ({a['type']}.{by[1]}[{by[2]}]) against {to[0]} ({b['type']}.{to[1]}[{to[2]}])"
        if cells.setdefault(by[0], to[0]) != to[0]:
            return len(cells), f"{by[0]} against two cells"
        if [len(bits) for bits in a["connections"].values()] != [len(bits) for bits in b["connections"].values()]:
            return len(cells), f"{by[0]} has other widths than {to[0]}"
        for port, way in a["port_directions"].items():
            if way == "input":
                waiting += zip(a["connections"][port], b["connections"][port], strict=True)
    return len(cells), ""


def _drivers(module: Any) -> dict[Any, tuple[str, str, int]]:
    """Return what drives every bit: cell, port and place in it."""
    return {
        bit: (name, port, index)
        for name, cell in module["cells"].items()
        for port, way in cell["port_directions"].items()
        if way == "output"
        for index, bit in enumerate(cell["connections"][port])
    }


_BITWISE = frozenset({"$not", "$and", "$or", "$xor", "$xnor", "$pos"})


def _parameters(cell: Any) -> dict[str, Any]:
    """Return the parameters that say what a cell does.

    A memory's name says nothing, nor does the sign of operands that a bitwise cell need not extend.
    """
    told = {name: value for name, value in cell["parameters"].items() if name != "MEMID"}
    widths = {value for name, value in told.items() if name.endswith("_WIDTH")}
    if cell["type"] in _BITWISE and len(widths) == 1:
        return {name: value for name, value in told.items() if not name.endswith("_SIGNED")}
    return told
