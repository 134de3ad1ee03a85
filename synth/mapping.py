"""From a design to the cells of a library: Yosys' synthesis, once, then one mapping by ABC for every recipe and target.

The design is flattened and its memories become flip-flops. ABC sizes and buffers the gates for a target delay between
flip-flops, under the `driver` in front of every input and behind every output (`-constr`). It knows neither clock-to-Q
nor set-up: the period comes from `synth.timing`, and the target is only a knob.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from golden_model.errors import UserError
from synth.liberty import Kind, Library
from synth.yowasp import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way to map: which adders, and which commands of ABC."""

    name: str
    """Name in the tables."""
    adders: str
    """Options of `synth` that choose the carry chains: none is Brent-Kung."""
    least_flops: bool
    """Whether only the smallest flip-flop is allowed; else Yosys chooses."""
    script: str
    """Commands of ABC; none is Yosys' own sequence. `{D}` stands for the target."""


_KOGGE_STONE = "-extra-map +/choices/kogge-stone.v"
_RESIZE = "-script +strash;&get,-n;&st;&dch,-f;&nf;&put;buffer,-c;topo;stime,-p;upsize,{D},-c;dnsize,{D},-c;stime,-p"
RECIPES = tuple(
    Recipe(
        name=", ".join(filter(None, (sizing, carries, flops))), adders=adders, script=script, least_flops=bool(flops)
    )
    for sizing, script in (("plain", ""), ("resized", _RESIZE))
    for carries, adders in (("", ""), ("Kogge-Stone", _KOGGE_STONE))
    for flops in ("", "least flops")
)
"""The recipes that a search tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """A design as cells of a library."""

    top: str
    """Its module."""
    verilog: str
    """Its text; every cell is one of the library."""
    module: Any
    """Its module in Yosys' JSON: ports, cells with their types and connections."""

    def count(self, library: Library, kind: Kind | None = None) -> int:
        """Return the number of cells, of one kind or of all."""
        return sum(kind in (None, library.cells[cell["type"]].kind) for cell in self.module["cells"].values())

    def area(self, library: Library, kind: Kind | None = None) -> float:
        """Return the sum of the cells' areas as the library says, of one kind or of all."""
        cells = (library.cells[cell["type"]] for cell in self.module["cells"].values())
        return sum(cell.area for cell in cells if kind in (None, cell.kind))


def source(top: Any, name: str, folder: Path) -> str:
    """Write a design to `folder` and return the command that reads it: an Amaranth component, or Verilog text."""
    if isinstance(top, str):
        (folder / "design.v").write_text(top)
        return "read_verilog design.v"
    (folder / "design.il").write_text(rtlil.convert(top, name=name, emit_src=False))
    return "read_rtlil design.il"


def fingerprint(top: Any, name: str) -> str:
    """Return the SHA-256 of a design's text, as `source` writes it, without comments: what a result is a result of."""
    text = top if isinstance(top, str) else rtlil.convert(top, name=name, emit_src=False)
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("//"))
    return hashlib.sha256(text.encode()).hexdigest()


def prepare(read: str, name: str, folder: Path, adders: str = "") -> str:
    """Synthesise to generic gates and flip-flops, once; return the name of the file, relative to `folder`."""
    file = f"generic{'_' + re.sub(r'[^a-z]+', '_', adders) if adders else ''}.il"
    if not (folder / file).exists():
        run(
            f"{read}; hierarchy -check -top {name}; synth -flatten -noabc -top {name} {adders}\n"
            f"setattr -unset init w:*; opt_clean -purge; rename -wire t:$_*DFF*; write_rtlil {file}\n",
            folder,
        )
    return file


LEAST_GATED = 3
"""Flip-flops with one enable from which a clock gate takes the place of their enables."""


def map_cells(
    read: str, name: str, library: Library, recipe: Recipe, target_ps: float, folder: Path, *, clock_gates: bool = False
) -> Netlist:
    """Map a design onto a library by one recipe, sized for one target delay between flip-flops, ps.

    `clock_gates`: the library's smallest clock gate takes the place of the enables that several flip-flops share.

    Raises UserError where the library lacks a cell that the design needs.
    """
    generic = prepare(read, name, folder, recipe.adders)
    driver = library.driver
    avoided = "".join(f" -dont_use {cell}" for cell in library.larger_flops) if recipe.least_flops else ""
    if not (folder / "cells.lib").exists():
        (folder / "cells.lib").write_text(library.text)
    (folder / "constr").write_text(f"set_driving_cell {driver.name}\nset_load {driver.load:.6g} [all_outputs]\n")
    gates = f"clockgate -liberty cells.lib -min_net_size {LEAST_GATED}" if clock_gates else ""
    script = f"""read_rtlil {generic}
{gates}
dfflibmap -liberty cells.lib{avoided}
abc -D {max(target_ps, 1.0):.0f} -liberty cells.lib -constr constr {recipe.script}
splitnets; opt_clean -purge; delete t:$scopeinfo
read_liberty -lib -ignore_miss_func -ignore_miss_dir -setattr liberty_cell cells.lib
write_json mapped.json; write_verilog -noattr -noexpr mapped.v
"""
    try:
        run(script, folder)
    except RuntimeError as error:
        wrong = re.findall(r"^ERROR: (.*)$", str(error), re.MULTILINE)
        if not wrong:
            raise
        raise UserError(f"Yosys cannot map {name} onto {library.name}: {wrong[0]}") from error
    module = json.loads((folder / "mapped.json").read_text())["modules"][name]
    strange = sorted({cell["type"] for cell in module["cells"].values()} - library.cells.keys())
    if strange:
        raise UserError(f"{library.name} has no cell for {', '.join(strange)}, which {name} needs")
    verilog = (folder / "mapped.v").read_text()
    verilog = re.sub(r"^(\s*(?:input|output|wire)) signed ", r"\1 ", verilog, flags=re.MULTILINE)  # OpenSTA knows none
    start = verilog.index(f"module {name}(")
    return Netlist(top=name, verilog=verilog[start : verilog.index("endmodule", start)] + "endmodule\n", module=module)
