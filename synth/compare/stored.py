"""What the store and the words do to the energy: several columns a lane, read in turn, and uniform counts.

    python -m synth.compare.stored a.lib b.lib > docs/results/energy.json      # a minute

In the comparison one column a lane is stored and its parameters stand still. Here every word finds other parameters
than the word before, which switch the multipliers' second operand and the read multiplexers. The network's counts are
small; uniform ones use every bit.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from synth import liberty, timing, yowasp
from synth.compare import energy
from synth.compare.candidates import COLUMNS, Candidate, fp16, nmpu
from synth.compare.measure import FEW
from synth.liberty import Library
from synth.mapping import fingerprint, map_cells, source
from synth.power.energy import tables
from synth.registry import unit as find_unit
from synth.verilog import elaborate

CASES = ((1, False), (4, False), (4, True))
"""Columns a lane that are stored, and whether the counts are uniform instead of the network's."""
CANDIDATES = (nmpu(4), fp16(3), fp16(4))
"""Units that are small enough to be mapped with a store."""


def text(candidate: Candidate, stored: int) -> str:
    """Return the Verilog of a unit that stores some columns a lane."""
    return elaborate(candidate.unit, replace(candidate.config, columns=stored))


def document(library: Library) -> dict[str, Any]:
    """Return the energies, each with the hash of the Verilog that it is of, as JSON takes them.

    Raises UserError where Yosys, OpenSTA or Icarus Verilog is missing.
    """
    rows = [_row(candidate, *case, library) for candidate in CANDIDATES for case in CASES]
    return {
        "library": library.name,
        "library_hash": hashlib.sha256(library.text.encode()).hexdigest(),
        "tools": [yowasp.tool(), timing.version()],
        "units": rows,
    }


def _row(candidate: Candidate, stored: int, uniform: bool, library: Library) -> dict[str, Any]:
    """Return what one unit takes; its netlist is the fastest of one recipe."""
    verilog, recipe = text(candidate, stored), FEW.recipes[0]
    standing = find_unit(candidate.unit).standing(replace(candidate.config, columns=stored))
    with tempfile.TemporaryDirectory(prefix="nmpu-stored-") as scratch:
        folder = Path(scratch)
        read = source(verilog, candidate.unit, folder)
        gates = library.has_clock_gate
        made = map_cells(read, candidate.unit, library, recipe, 1.0, folder, clock_gates=gates)
        period = timing.analyse(made.verilog, candidate.unit, library, folder, standing=standing).period_ps
    found = energy.measure(candidate, made.module, library, tables(library), stored=stored, uniform=uniform)
    return {
        "label": candidate.label,
        "unit": candidate.unit,
        "lanes": candidate.lanes,
        "stored": stored,
        "uniform": uniform,
        "verilog": fingerprint(verilog, candidate.unit),
        "recipe": recipe.name,
        "period_ps": period,
        "area": made.area(library),
        "energy": asdict(found),
        "vector_pj": COLUMNS / candidate.lanes * found.cycle_fj(period) / 1e3,
    }


def main() -> None:
    """Print the energies on the Liberty files that the command names; a mistake is one line, exit code 2."""
    try:
        found = document(liberty.read([Path(name) for name in sys.argv[1:]]))
    except UserError as error:
        print(f"nmpu: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
