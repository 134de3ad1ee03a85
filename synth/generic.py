"""Size of a component without a cell library: generic gates, and an estimate of transistors that counts flip-flops.

Transistors = the sum over all cells of the number below: static CMOS, as `stat -tech cmos` of Yosys counts gates, and
24 for a flip-flop, which Yosys leaves out: two latches of two transmission gates and two inverters each (16), an
inverter at the input and one at the output (4), and two that buffer the clock (4). An enable or a reset of a flip-flop
is gates in front of it.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth import yowasp
from synth.mapping import prepare, source

TRANSISTORS = {
    "$_NOT_": 2,
    "$_NAND_": 4,
    "$_NOR_": 4,
    "$_AND_": 6,
    "$_OR_": 6,
    "$_ANDNOT_": 6,
    "$_ORNOT_": 6,
    "$_XOR_": 12,
    "$_XNOR_": 12,
    "$_MUX_": 12,
    "$_DFF_P_": 24,
    "$_DFF_N_": 24,
}
"""Transistors of each cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The size of a component in generic gates."""

    name: str
    """The component."""
    tools: tuple[str, ...]
    """Tools with their versions."""
    cells: dict[str, int]
    """Number of cells by type, flip-flops among them."""

    @property
    def flops(self) -> int:
        """Return the number of flip-flops."""
        return sum(count for kind, count in self.cells.items() if "DFF" in kind)

    @property
    def gates(self) -> int:
        """Return the number of gates, without flip-flops."""
        return sum(self.cells.values()) - self.flops

    @property
    def transistors(self) -> int:
        """Return the estimate of transistors, flip-flops included."""
        return sum(TRANSISTORS[kind] * count for kind, count in self.cells.items())


def estimate(top: Any, name: str) -> Estimate:
    """Return the size of an Amaranth component, or of the Verilog text of module `name`, without a cell library.

    Raises UserError where Yosys is missing.
    """
    with tempfile.TemporaryDirectory(prefix="nmpu-synth-") as scratch:
        folder = Path(scratch)
        generic = prepare(source(top, name, folder), name, folder)
        yowasp.run(
            f"read_rtlil {generic}; dfflegalize -cell $_DFF_P_ x -cell $_DFF_N_ x\n"
            "abc -g AND,OR,NAND,NOR,ANDNOT,ORNOT,XOR,XNOR,MUX\n"
            "opt_clean -purge; delete t:$scopeinfo; write_json out.json\n",
            folder,
        )
        module = json.loads((folder / "out.json").read_text())["modules"][name]
    cells = Counter(cell["type"] for cell in module["cells"].values())
    return Estimate(name=name, tools=(yowasp.tool(),), cells=dict(sorted(cells.items())))
