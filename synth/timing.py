"""Static timing of a mapped netlist, by OpenSTA: the shortest period of its clock, and the paths that decide it.

Conditions, the same for every unit: one ideal clock; inputs arrive with its edge and outputs are due at its edge (delay
0 on both sides), so that ports count as registers beyond them; every input is driven by, and every output drives, the
library's `driver`, a small buffer; no wires. A unit without a clock is timed from port to port. Registers that stand
still before the first word that needs them (`standing`) have two cycles to every other register but the flags.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from golden_model.errors import UserError
from synth.liberty import Library

_PERIOD_PS = 1e4
"""The period that slacks are measured against, ps; a slack may be negative. Larger ones lose digits: OpenSTA computes
in single precision."""
_GROUPS = {
    "clock": "register to register",
    "standing": "standing register to register",
    "inward": "input to register",
    "outward": "register to output",
    "through": "input to output",
}
_CYCLES = {"standing": 2}
"""Cycles that the paths of a group have, where it is not one: as `set_multicycle_path 2 -setup` would give them, but in
a group of their own, whose slack is then that of a known number of cycles at any period."""
_HOLDING = "flags"
"""A register that keeps what it once took, and so may never take what is not settled: one cycle from everywhere."""
_STANDING = r"""set still {}
set others {}
foreach cell [all_registers -cells] {
  set name [string map {\\ {}} [get_name $cell]]
  if {![regexp {^(.*?)(\[[0-9]+\])?\$_[A-Z]*DFF} $name all held]} { continue }
  if {$held in {%s}} { lappend still $cell } elseif {$held ne "%s"} { lappend others $cell }
}
if {[llength $still] && [llength $others]} {
  group_path -name standing -from $still -to $others
  lappend groups standing
}
"""
"""Commands for OpenSTA that make the group; flip-flops are named after the net they hold, `code[0]$_DFFE_PP_`."""
NOT_MEASURED = "not measured: OpenSTA is not installed"
"""What stands in a table in the place of a period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The worst path of one kind."""

    kind: str
    """`register to register`, `input to register`, `register to output`, `input to output`, or `standing register to
    register`, which has two cycles."""
    period_ps: float
    """The period at which it has no slack: clock-to-output, gates and set-up, over the cycles that it has, ps."""
    start: str
    """Where it starts: a port, or the net that a flip-flop holds."""
    end: str
    """Where it ends, likewise."""
    gates: int
    """Gates along it, the flip-flops at its ends not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The worst path of each kind that exists, the slowest first."""

    routes: tuple[Route, ...]

    @property
    def period_ps(self) -> float:
        """Return the shortest period of the clock, ps."""
        return self.routes[0].period_ps if self.routes else 0.0

    @property
    def mhz(self) -> float:
        """Return the highest frequency of the clock, MHz."""
        return 1e6 / self.period_ps if self.period_ps else 0.0


def installed() -> bool:
    """Return whether OpenSTA is there: the program `sta`."""
    return shutil.which("sta") is not None


@cache
def version() -> str:
    """Return name and version of OpenSTA."""
    if not installed():
        raise UserError("OpenSTA is not installed: static timing needs the program `sta` on the PATH")
    done = subprocess.run(["sta", "-version"], capture_output=True, text=True, check=False)
    return f"OpenSTA {done.stdout.split()[-1]}" if done.stdout.split() else "OpenSTA"


def analyse(
    netlist: str,
    top: str,
    library: Library,
    folder: Path,
    *,
    clock: str = "clk",
    standing: Sequence[str] = (),
) -> Timing:
    """Return the timing of a mapped netlist (Verilog text of module `top`) on a library.

    `standing`: registers, as the source names them, that stand still from the edge before the one that accepts the
    first word that needs them.

    Raises UserError where OpenSTA is missing, or cannot read the library.
    """
    version()
    (folder / "timed.v").write_text(netlist)
    if not (folder / "cells.lib").exists():
        (folder / "cells.lib").write_text(library.text)
    (folder / "timing.tcl").write_text(_script(netlist, top, library, clock, standing))
    done = subprocess.run(
        ["sta", "-no_splash", "-exit", "timing.tcl"], cwd=folder, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    if wrong := re.search(r"^Error: (.*)$", text, re.MULTILINE):
        raise UserError(f"OpenSTA cannot time {top} on {library.name}: {wrong.group(1)}")
    routes = [_route(kind, told, library) for kind, told in re.findall(r"^GROUP (\w+)$(.*?)^END$", text, re.M | re.S)]
    found = [route for route in routes if route is not None]
    return Timing(routes=tuple(sorted(found, key=lambda route: -route.period_ps)))


def _script(netlist: str, top: str, library: Library, clock: str, standing: Sequence[str]) -> str:
    """Return the commands for OpenSTA."""
    driver, period = library.driver, _PERIOD_PS / library.time_ps
    clocked = re.search(rf"^\s*input {re.escape(clock)}\s*;", netlist, re.MULTILINE) is not None
    # OpenSTA credits "clock reconvergence pessimism", hundreds of ps of it, to paths between flip-flops behind the same
    # clock gate, though the clock is ideal and has no pessimism to take back: such paths came out far too short.
    return f"""set sta_crpr_enabled 0
read_liberty cells.lib
read_verilog timed.v
link_design {top}
create_clock -name clock -period {period}{f" [get_ports {clock}]" if clocked else ""}
set ins {{}}
foreach port [all_inputs] {{ if {{[get_name $port] ne "{clock}"}} {{ lappend ins $port }} }}
set outs [all_outputs]
if {{[llength $ins]}} {{
  set_input_delay 0 -clock clock $ins
  set_driving_cell -lib_cell {driver.name} $ins
  group_path -name inward -from $ins
}}
set_output_delay 0 -clock clock $outs
set_load {driver.load / library.load_ff:.6g} $outs
group_path -name outward -to $outs
set groups {{clock outward}}
if {{[llength $ins]}} {{
  group_path -name through -from $ins -to $outs
  lappend groups inward through
}}
{_STANDING % (" ".join(standing), _HOLDING) if clocked else ""}foreach group $groups {{
  puts "GROUP $group"
  report_checks -path_group $group -path_delay max -format full -digits 6
  puts "END"
}}
"""


def _route(kind: str, told: str, library: Library) -> Route | None:
    """Return the path of one group from OpenSTA's report, None where there is none."""
    slack = re.search(r"^\s*(-?[\d.]+)\s+slack", told, re.MULTILINE)
    if slack is None:
        return None
    ends = re.search(r"^Startpoint: (\S+).*?^Endpoint: (\S+)", told, re.MULTILINE | re.DOTALL)
    steps = re.findall(r"^\s*-?[\d.]+\s+-?[\d.]+ [v^] (\S+) \((\S+)\)$", told, re.MULTILINE)
    gates = [cell for _, cell in steps if cell in library.cells and not library.cells[cell].clock]
    return Route(
        kind=_GROUPS[kind],
        period_ps=(_PERIOD_PS - float(slack.group(1)) * library.time_ps) / _CYCLES.get(kind, 1),
        start=_net(ends.group(1)) if ends else "",
        end=_net(ends.group(2)) if ends else "",
        gates=len(gates),
    )


def _net(name: str) -> str:
    """Return the net that a flip-flop holds; a port is itself. Flip-flops are named after it, `code[0]$_DFFE_PP_`."""
    return re.sub(r"\\|\$_.*", "", name)
