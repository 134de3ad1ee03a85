"""Energies for a comparison that has none: its netlists are made again, and only their energy is measured.

Mapping is deterministic for the same tools, so that a netlist is known by its recipe and target; one whose Verilog,
library or area is another than the comparison says is refused.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from golden_model.errors import UserError
from synth.compare import energy
from synth.compare.candidates import Candidate, fp16, nmpu
from synth.compare.comparison import Comparison
from synth.compare.measure import Measured, Netlist, text
from synth.liberty import Library
from synth.mapping import RECIPES, fingerprint, map_cells, source
from synth.power.cells import Tables
from synth.power.energy import Power, tables
from synth.power.simulate import require


def complete(
    comparison: Comparison,
    library: Library,
    *,
    wanted: Callable[[Netlist], bool] = lambda netlist: True,
    progress: Callable[[str], None] = lambda label: None,
) -> Comparison:
    """Return a comparison with the energy of every netlist that is `wanted` and has none yet.

    Raises UserError where Yosys or Icarus Verilog is missing, or where library, unit or netlist is another.
    """
    require()
    if hashlib.sha256(library.text.encode()).hexdigest() != comparison.library_hash:
        raise UserError(f"{library.name} is not the library that was measured: measure anew, without --measured")
    energies = tables(library)

    def completed(candidate: Candidate, unit: Measured) -> Measured:
        progress(unit.label)
        return _completed(candidate, unit, library, energies, comparison.clock_gates, wanted)

    depths = [int(unit.label.removeprefix("FP16, ").split()[0]) for unit in comparison.fp16]
    return replace(
        comparison,
        nmpu=tuple(completed(nmpu(unit.lanes), unit) for unit in comparison.nmpu),
        fp16=tuple(completed(fp16(depth), unit) for depth, unit in zip(depths, comparison.fp16, strict=True)),
    )


def _completed(
    candidate: Candidate,
    unit: Measured,
    library: Library,
    energies: Tables,
    clock_gates: bool,
    wanted: Callable[[Netlist], bool],
) -> Measured:
    """Return a unit with the energies of its netlists."""
    verilog = text(candidate)
    if fingerprint(verilog, candidate.unit) != unit.verilog:
        raise UserError(f"{unit.label} has changed since it was measured: measure anew, without --measured")
    seen: dict[str, Power] = {}
    found: list[Netlist] = []
    with tempfile.TemporaryDirectory(prefix="nmpu-energy-") as scratch:
        folder = Path(scratch)
        read = source(verilog, candidate.unit, folder)
        for known in unit.netlists:
            if known.energy is not None or not wanted(known):
                found.append(known)
                continue
            recipe = next(recipe for recipe in RECIPES if recipe.name == known.recipe)
            made = map_cells(read, candidate.unit, library, recipe, known.target_ps, folder, clock_gates=clock_gates)
            if made.area(library) != known.area:
                raise UserError(
                    f"{unit.label}, {known.recipe}, {known.target_ps:.0f} ps: area {made.area(library):.3f} instead of "
                    f"{known.area:.3f}, so it is another netlist (another Yosys?): measure anew, without --measured"
                )
            same = json.dumps(made.module, sort_keys=True)  # a relaxed target often changes nothing
            if same not in seen:
                seen[same] = energy.measure(candidate, made.module, library, energies)
            found.append(replace(known, energy=seen[same]))
    return replace(unit, netlists=tuple(found))
