"""Faults for the bench to find: single-bit mutations of the flattened unit, all in one netlist behind one input.

`yosys mutate` draws them: a bit of a cell's port is inverted, stuck at 0 or 1, or exclusive-ored with another bit of
the port. Input `mutsel` chooses one, 0 none, so one compile serves all (memories become flip-flops first, so that the
parameter store can be faulty too). Each fault belongs to a class that is read off the netlist's structure, no names
asked; each class has its quota. Faults on clock ports are left out: they would break `mutsel = 0` as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from synth.yowasp import run

SELECT = "mutsel"
"""Name of the input that chooses a fault."""
PREPARE = "proc; flatten; opt_clean; memory; dffunmap; opt_expr; opt_clean"
"""From the elaborated text to word-level cells and plain flip-flops: enables become multiplexers that can be faulty."""
DRAWN_FOR_ONE = 8
"""Candidates drawn for every fault that is kept, so that every class can fill its quota."""


class Part(Enum):
    """What a faulty cell belongs to."""

    CONTROL = "control"
    """Whatever decides ready, valid and idle, and what follows from that alone: handshake, valid bits, word numbers."""
    STORE = "parameter store"
    """Parameter and layer registers, their write decoders, their read multiplexers and read registers."""
    FLAGS = "flags"
    """What leads to the saturation flags and nowhere else."""
    DATAPATH = "datapath"
    """The rest: what leads to the output words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One mutation."""

    number: int
    """The value of `mutsel` that switches it on, from 1."""
    part: Part
    """Its class."""
    mode: str
    """`inv`, `const0`, `const1`, `cnot0` or `cnot1`."""
    cell: str
    """Cell of the flattened netlist."""
    port: str
    """Port and bit of that cell."""
    wire: str
    """A named wire at that bit, where there is one."""
    command: str
    """The Yosys command, without the control input."""

    def __str__(self) -> str:
        at = f" ({self.wire})" if self.wire else ""
        return f"{self.number} {self.part.value}: {self.mode} at {self.cell}.{self.port}{at}"


_BITWISE = frozenset({"$and", "$or", "$xor", "$xnor", "$not", "$pos", "$mux", "$dff"})
_CARRIES = frozenset({"$add", "$sub", "$neg", "$mul", "$shl"})


class Netlist:
    """Connectivity of a flat netlist, from Yosys' JSON."""

    def __init__(self, module: Any) -> None:
        self.cells: dict[str, Any] = {
            name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"
        }
        self._ports = module["ports"]
        self._driver = {
            bit: name
            for name, cell in self.cells.items()
            for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "output"
            for bit in bits
        }

    @staticmethod
    def read(path: Path, top: str = "nmpu") -> Netlist:
        """Return a module of a JSON netlist."""
        return Netlist(json.loads(path.read_text())["modules"][top])

    def port(self, *names: str) -> set[int]:
        """Return the bits of ports of the module."""
        return {bit for name in names if name in self._ports for bit in self._ports[name]["bits"]}

    def is_flop(self, name: str) -> bool:
        """Return whether a cell is a flip-flop."""
        return "dff" in str(self.cells[name]["type"])

    def _inputs(self, name: str) -> set[int]:
        cell = self.cells[name]
        ports = (port for port, way in cell["port_directions"].items() if way == "input" and port != "CLK")
        return {bit for port in ports for bit in cell["connections"][port] if isinstance(bit, int)}

    def cone(self, bits: Iterable[int], *, through: bool) -> tuple[set[str], set[int]]:
        """Return the cells that decide some bits, and the bits at which the walk ended.

        It ends at the module's inputs and, unless it goes `through` them, at the outputs of flip-flops.
        """
        cells: set[str] = set()
        ends: set[int] = set()
        waiting = list(bits)
        while waiting:
            bit = waiting.pop()
            driver = self._driver.get(bit)
            if driver is None or (self.is_flop(driver) and not through):
                ends.add(bit)
            elif driver not in cells:
                cells.add(driver)
                waiting += self._inputs(driver)
        return cells, ends

    def _held(self, cells: Iterable[str]) -> set[int]:
        """Return the outputs of the flip-flops among some cells."""
        return {bit for name in cells if self.is_flop(name) for bit in self.cells[name]["connections"]["Q"]}

    def live(self) -> set[int]:
        """Return the bits that decide an output, now or ever: what remains when every dead end is taken away.

        Bit i of a bitwise cell follows from bit i of its operands, bit i of a sum, product or left shift from the bits
        up to i; of a sum, bits beside constant zeros that begin at the lowest bit carry nothing, and decide their own
        bit alone. Everything else counts as following from every input.
        """
        waiting = [bit for port in self._ports.values() if port["direction"] == "output" for bit in port["bits"]]
        found: set[int] = set()
        while waiting:
            bit = waiting.pop()
            if bit in found or not isinstance(bit, int):
                continue
            found.add(bit)
            if bit in self._driver:
                waiting += self._reasons(bit)
        return found

    def _reasons(self, bit: int) -> list[int]:
        """Return the bits from which the output bit of a cell follows at once."""
        cell = self.cells[self._driver[bit]]
        kind, connections, ways = cell["type"], cell["connections"], cell["port_directions"]
        output = next(port for port, way in ways.items() if way == "output")
        place = connections[output].index(bit)
        reasons = []
        for port, bits in connections.items():
            if ways[port] == "input" and port != "CLK":
                whole = port == "S" or (kind == "$shl" and port == "B")
                extended = bits[min(place, len(bits) - 1)]  # beyond its width an operand repeats its highest bit
                if kind in _BITWISE and not whole:
                    reasons.append(extended)
                elif kind in _CARRIES and not whole:
                    first = _zeros(connections["B" if port == "A" else "A"]) if kind == "$add" else 0
                    reasons += bits[min(first, place, len(bits) - 1) : place + 1]
                else:
                    reasons += bits
        return reasons

    def followers(self) -> frozenset[str]:
        """Return the control registers that decide nothing of ready, valid and idle: the numbers of words inside."""
        deciding, _ = self.cone(self.port("i__ready", "o__valid", "idle"), through=True)
        parts = self.parts()
        return frozenset(n for n in self.cells if self.is_flop(n) and parts[n] is Part.CONTROL and n not in deciding)

    def parts(self) -> dict[str, Part]:
        """Return the class of every cell."""
        control, _ = self.cone(self.port("i__ready", "o__valid", "idle"), through=True)
        flops = [name for name in self.cells if self.is_flop(name)]
        own = {name: set(self.cells[name]["connections"]["Q"]) for name in flops}
        cones = {name: self.cone(self._inputs(name), through=False) for name in flops}
        plain = self.port("o__ready", "i__valid", "rst")
        while more := [n for n in flops if n not in control and cones[n][1] <= self._held(control) | plain | own[n]]:
            control |= {name for flop in more for name in (flop, *cones[flop][0])}
        written, steered = self.port("write__data", "layer__data"), self._held(control) | plain
        held = {name for name in flops if name not in control and cones[name][1] & written}
        stored, store = self._held(held), set(held)
        for name in flops:
            ends = cones[name][1] - own[name]
            if name in held or (ends & stored and ends <= stored | steered):  # a register, or what it is read into
                store |= {name} | cones[name][0]
        words, _ = self.cone(self.port("o__payload"), through=True)
        flags, _ = self.cone(self.port("flags"), through=True)
        parts = dict.fromkeys(self.cells, Part.DATAPATH)
        parts |= dict.fromkeys(flags - words, Part.FLAGS)
        parts |= dict.fromkeys(store, Part.STORE)
        return parts | dict.fromkeys(control, Part.CONTROL)


def _zeros(bits: list[Any]) -> int:
    """Return the number of constant zeros that an operand begins with."""
    return next((index for index, bit in enumerate(bits) if bit != "0"), len(bits))


def _option(command: str, name: str) -> str:
    """Return the first value of an option in a `mutate` command."""
    found = re.search(rf" -{name} (\S+)", command)
    return found.group(1) if found else ""


def draw(verilog: str, quotas: dict[Part, int], folder: Path, *, top: str = "nmpu", seed: int = 1) -> list[Fault]:
    """Draw faults of a unit, by class as many as its quota, and write the faulty netlist to `folder`.

    Leaves faulty.v (module `top` with the input `mutsel`) and faulty.il. Deterministic for the same text and seed.
    """
    (folder / "unit.v").write_text(verilog)
    wanted = sum(quotas.values())
    run(
        f"read_verilog unit.v; hierarchy -top {top}; {PREPARE}; write_json unit.json; write_rtlil unit.il\n"
        f"mutate -list {DRAWN_FOR_ONE * wanted} -seed {seed} -o drawn.txt\n",
        folder,
    )
    netlist = Netlist.read(folder / "unit.json", top)
    parts = netlist.parts()
    rng = np.random.default_rng(seed)
    commands = [line for line in (folder / "drawn.txt").read_text().splitlines() if _option(line, "port") != "CLK"]
    chosen: list[str] = []
    for part, quota in quotas.items():
        own = [line for line in commands if parts[plain_name(_option(line, "cell"))] is part]
        chosen += [own[index] for index in sorted(rng.permutation(len(own))[:quota])]
    faults = [_fault(number, command, parts) for number, command in enumerate(chosen, 1)]
    width = max(1, len(faults).bit_length())
    script = [f"mutate -ctrl {SELECT} {width} {fault.number} {fault.command}" for fault in faults]
    (folder / "mutate.ys").write_text("\n".join(script) + "\n")
    run(
        "read_rtlil unit.il; script mutate.ys; opt_clean; write_verilog -noattr faulty.v; write_rtlil faulty.il\n",
        folder,
    )
    return faults


def plain_name(cell: str) -> str:
    """Return a cell's name as the JSON netlist writes it: public names without their backslash."""
    return cell.removeprefix("\\")


def _fault(number: int, command: str, parts: dict[str, Part]) -> Fault:
    options = re.sub(r" -(src|wire|wirebit) \S+", "", command.removeprefix("mutate").strip())
    cell = _option(command, "cell")
    return Fault(
        number=number,
        part=parts[plain_name(cell)],
        mode=_option(command, "mode"),
        cell=cell,
        port=f"{_option(command, 'port')}[{_option(command, 'portbit')}]",
        wire=f"{_option(command, 'wire')}[{_option(command, 'wirebit')}]" if _option(command, "wire") else "",
        command=options,
    )
