"""The comparison as one record that is written to a file and read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from synth import timing, yowasp
from synth.compare import figures
from synth.compare.candidates import DEPTHS, HEADLINE, UNITS, Candidate, fp16, nmpu
from synth.compare.cycles import Cycles
from synth.compare.measure import Measured, Netlist, measure
from synth.liberty import Kind, Library
from synth.power.energy import Power


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that was measured, and with what."""

    library: str
    """Name of the cell library."""
    library_hash: str
    """SHA-256 of its merged text."""
    tools: tuple[str, ...]
    """Tools with their versions."""
    bit_area: float
    """Area of a stored bit, the same for both: the library's smallest flip-flop."""
    clock_gates: bool
    """Whether clock gates stand for enables; the library decides, for both units."""
    nmpu: tuple[Measured, ...]
    """The NMPU with several numbers of lanes."""
    fp16: tuple[Measured, ...]
    """The FP16 unit at several depths."""

    @property
    def headline(self) -> Measured:
        """Return the NMPU of the headline: 64 lanes, or the most that were measured below."""
        return max((u for u in self.nmpu if u.lanes <= HEADLINE), key=lambda u: u.lanes, default=self.nmpu[0])

    def ratios(self, unit: Measured) -> tuple[figures.Ratio, ...]:
        """Return the ratios of one NMPU."""
        return figures.ratios(unit, self.fp16, self.bit_area)

    @property
    def largest(self) -> tuple[Measured, float]:
        """Return the NMPU with the largest ratio of the time of a vector, and that ratio."""
        return max(((unit, self.ratios(unit)[0].value) for unit in self.nmpu), key=lambda each: each[1])


def compare(
    library: Library,
    *,
    units: Sequence[int] = UNITS,
    depths: Sequence[int] = DEPTHS,
    quick: bool = False,
    progress: Callable[[str], None] = lambda label: None,
) -> Comparison:
    """Measure NMPUs of some lanes and the FP16 unit at some depths on a library.

    Raises UserError where a tool is missing or the lanes do not divide the vector.
    """
    timing.version()

    def measured(candidate: Candidate) -> Measured:
        progress(candidate.label)
        return measure(candidate, library, quick=quick)

    chosen = [*map(nmpu, units)], [*map(fp16, depths)]
    flops = [cell.area for cell in library.cells.values() if cell.kind is Kind.FLOP]
    return Comparison(
        library=library.name,
        library_hash=hashlib.sha256(library.text.encode()).hexdigest(),
        tools=(yowasp.tool(), timing.version()),
        bit_area=min(flops),
        clock_gates=library.has_clock_gate,
        nmpu=tuple(map(measured, chosen[0])),
        fp16=tuple(map(measured, chosen[1])),
    )


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON takes it, with the ratios of every NMPU."""
    shown = {
        unit.label: [
            {"name": r.name, "formula": r.formula, "value": r.value, "fp16": r.fp16.unit.label, "paper": r.paper}
            for r in comparison.ratios(unit)
        ]
        for unit in comparison.nmpu
    }
    return asdict(comparison) | {"ratios": shown}


def read(path: Path) -> Comparison:
    """Return a comparison that was written to a file.

    Raises UserError for a file that cannot be read or holds none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Comparison(
            library=told["library"],
            library_hash=told["library_hash"],
            tools=tuple(told["tools"]),
            bit_area=told["bit_area"],
            clock_gates=told["clock_gates"],
            nmpu=tuple(map(_measured, told["nmpu"])),
            fp16=tuple(map(_measured, told["fp16"])),
        )
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no comparison that `nmpu compare --json` wrote: {error}") from error


def _measured(told: dict[str, Any]) -> Measured:
    netlists = tuple(Netlist(**each | {"energy": _energy(each.get("energy"))}) for each in told["netlists"])
    return Measured(**told | {"cycles": Cycles(**told["cycles"]), "netlists": netlists})


def _energy(told: dict[str, Any] | None) -> Power | None:
    return None if told is None else Power(**told | {"without_table": tuple(told["without_table"])})
