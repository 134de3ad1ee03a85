"""A netlist of library cells does what its Verilog does: by combinational equivalence, flip-flop by flip-flop.

Both sides become gates, the cells by the functions in their Liberty file. Every flip-flop of the netlist carries the
name of a bit of the Verilog; on both sides it is cut into an input (what it holds) and an output (what it takes next).
With the same state and inputs both must give the same outputs and the same next state: equal for ever then, from any
state. The Verilog becomes gates by Yosys' passes in the order of the mapping, so that sums are grouped as they are in
the netlist: another grouping is the same function and hard to compare. An error in one of these passes would be on both
sides. ABC merges what is equal on the way (`ifraig`, `iprove`) until the difference of the two is the constant 0.
A flip-flop that one side alone has stays free there: what is proved holds whatever it holds.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from synth.liberty import Library
from synth.mapping import Netlist
from synth.prove.obligation import Outcome, Verdict
from synth.yowasp import run

_ABC = "strash;ifraig;iprove"
_GATES = (
    "opt_expr; opt_clean; dffunmap; alumacc; techmap; simplemap; opt -fast;"
    " dffunmap; opt_expr; opt_merge; opt_clean; delete t:$scopeinfo"
)
"""To single gates and flip-flops without enable; flip-flops that take the same are merged, as a mapping does."""


def prove_mapped(verilog: str, library: Library, netlist: Netlist, *, seconds: int = 120) -> Outcome:
    """Prove that a netlist of library cells equals the Verilog that it was made of."""
    name = netlist.top
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        (folder / "design.v").write_text(verilog)
        (folder / "mapped.v").write_text(netlist.verilog)
        (folder / "cells.lib").write_text(library.text)
        run(
            f"read_verilog design.v; hierarchy -check -top {name}; proc; flatten; opt_expr; opt_clean\n"
            "opt -nodffe -nosdff; opt; wreduce; peepopt; opt_clean; alumacc; opt; memory -nomap; opt_clean\n"
            f"opt -fast -full; memory_map; opt -fast; setattr -unset init w:*; {_GATES}\n"
            "write_json design.json; design -reset\n"
            f"read_liberty -ignore_miss_func -ignore_miss_dir cells.lib; read_verilog mapped.v\n"
            f"hierarchy -check -top {name}; proc; flatten; {_GATES}; write_json mapped.json\n",
            folder,
        )
        sides = {side: json.loads((folder / f"{side}.json").read_text())["modules"][name] for side in _SIDES}
        states = {side: _states(module) for side, module in sides.items()}
        both = _pairs(sides["design"], states["design"], states["mapped"])
        inverting = _inverting(library, netlist)
        inverted = {cell for cell in states["mapped"].values() if _INSTANCE.sub(r"\1\2", cell) in inverting}
        _cut(sides, states, both, inverted)
        for side, module in sides.items():
            (folder / f"{side}.json").write_text(json.dumps({"creator": "cut", "modules": {side: module}}))
        try:
            run(
                "read_json design.json; read_json mapped.json; miter -equiv -flatten design mapped pair\n"
                f"hierarchy -top pair; opt_clean; simplemap; opt_clean; abc -script +{_ABC}; opt_clean\n"
                "write_json pair.json\n",
                folder,
                seconds=seconds,
            )
        except TimeoutError:
            return Outcome(name="mapped", verdict=Verdict.UNDECIDED, why="ABC: out of time")
        pair = json.loads((folder / "pair.json").read_text())["modules"]["pair"]
        alone = len(states["mapped"]) - len(both)
        if pair["ports"]["trigger"]["bits"] == ["0"]:
            gates = sum(cell["type"] not in _FLOPS for cell in sides["mapped"]["cells"].values())
            why = f"ABC, {len(both)} flip-flops, {gates} gates"
            return Outcome(name="mapped", verdict=Verdict.PROVED, why=why)
        log = run(
            "read_json design.json; read_json mapped.json; miter -equiv -flatten design mapped pair\n"
            f"hierarchy -top pair; opt_clean; sat -timeout {seconds} -prove trigger 0 -show-inputs pair\n",
            folder,
        )
    if "model found: FAIL" in log:
        found = re.findall(r"^ +\\(\w+) +(\d+) ", log[log.index("model found: FAIL") :], re.MULTILINE)
        values = {name: int(value) for name, value in found if int(value)}
        why = f"ABC and SAT; {alone} flip-flops without a counterpart" if alone else "ABC and SAT"
        return Outcome(name="mapped", verdict=Verdict.REFUTED, counterexample=values, why=why)
    return Outcome(name="mapped", verdict=Verdict.UNDECIDED, why="out of time")


_SIDES = ("design", "mapped")
_FLOPS = frozenset({"$_DFF_P_", "$_DFF_N_"})
_INSTANCE = re.compile(r"(?:\$flatten\\)?(.*)(\$_[A-Z]+_[A-Z0-9]+_)(?:\..*)?$")
"""Name of a flip-flop: the bit that it holds, what Yosys put behind it, and what is inside the cell."""
_UNUSED = 1 << 28
"""Bits from here on are not in use."""


def _inverting(library: Library, netlist: Netlist) -> set[str]:
    """Return the flip-flops of a netlist that hold the opposite of what they are given: `next_state : "!D"`."""
    cells = re.split(r"\bcell\s*\(", library.text)[1:]
    kinds = {text.partition(")")[0].strip(' "') for text in cells if re.search(r'next_state\s*:\s*"\s*\(?\s*!', text)}
    return {name for name, cell in netlist.module["cells"].items() if cell["type"] in kinds}


def _states(module: Any) -> dict[str, str]:
    """Return the flip-flops of a module of gates: cell by the name of the bit that it holds."""
    names: dict[Any, list[str]] = {}
    for wire, net in module["netnames"].items():
        for index, bit in enumerate(net["bits"], net.get("offset", 0)):
            names.setdefault(bit, []).append(f"{wire}[{index}]" if len(net["bits"]) > 1 else wire)
    states = {}
    for name, cell in module["cells"].items():
        if cell["type"] in _FLOPS:
            instance = _INSTANCE.match(name)
            for each in names.get(cell["connections"]["Q"][0], []) if instance is None else [instance.group(1)]:
                states[each] = name
    return states


def _pairs(design: Any, states: dict[str, str], mapped: dict[str, str]) -> list[dict[str, str]]:
    """Return the flip-flops that both sides have, cell by side."""
    plain = {re.sub(r"\\", "", name): cell for name, cell in states.items()}
    pairs = [(plain.get(name.replace("\\", "")), cell) for name, cell in mapped.items()]
    return [{"design": one, "mapped": other} for one, other in pairs if one is not None]


def _cut(
    sides: dict[str, Any], states: dict[str, dict[str, str]], pairs: list[dict[str, str]], inverted: set[str]
) -> None:
    """Turn the flip-flops of both modules into ports; one of one side alone is an input that the other ignores."""
    fresh = _UNUSED
    for side, module in sides.items():
        numbers = {pair[side]: number for number, pair in enumerate(pairs)}
        for count, name in enumerate(sorted(set(states[side].values()))):
            ends = module["cells"].pop(name)["connections"]
            holds, takes, fresh = ends["Q"], ends["D"], fresh + 2
            if name in inverted:
                holds, takes = [fresh], [fresh + 1]
                module["cells"][f"$holds_{count}"] = _inverter(fresh, ends["Q"][0])
                module["cells"][f"$takes_{count}"] = _inverter(ends["D"][0], fresh + 1)
            if name in numbers:
                module["ports"][f"holds_{numbers[name]}"] = {"direction": "input", "bits": holds}
                module["ports"][f"takes_{numbers[name]}"] = {"direction": "output", "bits": takes}
            else:
                for each in sides.values():
                    bits = holds if each is module else [fresh]
                    each["ports"][f"{side}_{count}"] = {"direction": "input", "bits": bits}


def _inverter(given: Any, made: Any) -> dict[str, Any]:
    """Return an inverter between two bits."""
    ways = {"A": "input", "Y": "output"}
    return {"type": "$_NOT_", "port_directions": ways, "connections": {"A": [given], "Y": [made]}}
