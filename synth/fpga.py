"""Size and clock of a component on an FPGA: Yosys, then place and route by nextpnr, pip's or the system's.

iCE40 (HX8K) has fewer pins than a unit has ports, so that the unit is placed behind a narrow wrapper: a shift register
feeds its inputs, and its outputs are folded into one pin. Only the unit's cells are counted; the clock is that of the
whole. ECP5 (LFE5U-85F) is placed out of context, without pins.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from synth import yowasp
from synth.mapping import source


class Family(Enum):
    """An FPGA family."""

    ICE40 = "ice40"
    """Lattice iCE40 HX8K."""
    ECP5 = "ecp5"
    """Lattice ECP5 LFE5U-85F."""

    @property
    def device(self) -> str:
        """Return the options of nextpnr that name the device."""
        return "--hx8k --package ct256" if self is Family.ICE40 else "--85k --out-of-context"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A component on an FPGA."""

    name: str
    """The component."""
    family: Family
    """Where it was placed."""
    tools: tuple[str, ...]
    """Tools with their versions."""
    cells: dict[str, int]
    """Cells of the component by type, as Yosys maps it."""
    mhz: float
    """Clock after place and route, MHz."""


def _nextpnr(family: Family) -> list[str]:
    """Return the command that is nextpnr for a family."""
    module = f"yowasp_nextpnr_{family.value}"
    if importlib.util.find_spec(module) is not None:
        program = f"import sys, {module}; sys.exit({module}.run_nextpnr_{family.value}(sys.argv[1:]))"
        return [sys.executable, "-c", program]
    system = shutil.which(f"nextpnr-{family.value}")
    if system is None:
        raise UserError(
            f"no nextpnr for {family.value} is installed: pip install yowasp-nextpnr-{family.value} brings one, or put "
            f"nextpnr-{family.value} on the PATH"
        )
    return [system]


def place(top: Any, name: str, family: Family) -> Placed:
    """Return size and clock of an Amaranth component, or of the Verilog text of module `name`, on an FPGA.

    Raises UserError where Yosys or nextpnr is missing, or the component does not fit the device.
    """
    nextpnr = _nextpnr(family)
    with tempfile.TemporaryDirectory(prefix="nmpu-synth-") as scratch:
        folder = Path(scratch)
        read = source(top, name, folder)
        yowasp.run(f"{read}; synth_{family.value} -top {name} -json unit.json\n", folder)
        module = json.loads((folder / "unit.json").read_text())["modules"][name]
        placed = "unit.json"
        if family is Family.ICE40:
            (folder / "narrow.v").write_text(_narrow(name, module["ports"]))
            yowasp.run(f"{read}; read_verilog narrow.v; synth_ice40 -top narrow -json narrow.json\n", folder)
            placed = "narrow.json"
        command = [
            *nextpnr,
            *family.device.split(),
            "--json",
            placed,
            "--seed",
            "1",
            "--freq",
            "400",
            "--timing-allow-fail",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        clocks = re.findall(r"Max frequency for clock .*?: ([\d.]+) MHz", told)
        if done.returncode or not clocks:
            wrong = re.findall(r"^ERROR: (.*)$", told, re.MULTILINE)
            raise UserError(f"nextpnr cannot place {name} on {family.value}: {wrong[0] if wrong else 'no clock found'}")
        version = subprocess.run([*nextpnr, "--version"], capture_output=True, text=True, check=False)
    cells = Counter(cell["type"] for cell in module["cells"].values() if not cell["type"].startswith("$"))
    found = re.search(r"Version ([^\s)]+)", version.stdout + version.stderr)
    tools = (yowasp.tool(), f"nextpnr-{family.value} {found.group(1) if found else ''}".strip())
    return Placed(name=name, family=family, tools=tools, cells=dict(sorted(cells.items())), mhz=float(clocks[-1]))


def _narrow(name: str, ports: Any) -> str:
    """Return the wrapper: a shift register in front of the inputs, the outputs registered and folded into one pin."""
    ins = {port: len(told["bits"]) for port, told in ports.items() if told["direction"] == "input" and port != "clk"}
    outs = {port: len(told["bits"]) for port, told in ports.items() if told["direction"] == "output"}
    wires, low = [], 0
    for port, width in ins.items():
        wires.append(f".{port}(given[{low + width - 1}:{low}])")
        low += width
    high = 0
    for port, width in outs.items():
        wires.append(f".{port}(made[{high + width - 1}:{high}])")
        high += width
    clock = ".clk(clk), " if "clk" in ports else ""
    return f"""module narrow(input clk, input pin, output reg out);
  reg [{low - 1}:0] given;
  wire [{high - 1}:0] made;
  reg [{high - 1}:0] kept;
  {name} unit({clock}{", ".join(wires)});
  always @(posedge clk) begin
    given <= {{given, pin}};
    kept <= out ? made : {{kept, kept[{high - 1}]}};
    out <= kept[{high - 1}] ^ pin;
  end
endmodule
"""
