"""One unit measured: its Verilog, its cycles, its netlists with period and area, and the bits that it stores."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape

from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import NmpuConfig
from synth.compare import energy
from synth.compare.candidates import Candidate
from synth.compare.cycles import Cycles, count
from synth.liberty import Library
from synth.mapping import RECIPES, fingerprint
from synth.mutation import Part
from synth.power.energy import Power, tables
from synth.power.simulate import missing
from synth.registry import unit as find_unit
from synth.synthesis import Search, synthesise
from synth.verilog import elaborate

SEARCH = Search(recipes=tuple(recipe for recipe in RECIPES if "resized" in recipe.name and recipe.least_flops))
"""The recipes that made the smallest and the fastest netlists of either unit."""
BRIEF = Search(recipes=SEARCH.recipes[:1], relaxed=())
"""One netlist: what a reader in a hurry has time for."""
FEW = Search(recipes=SEARCH.recipes, relaxed=())
"""One netlist a recipe: what a unit of many lanes has time for."""
MANY_LANES = 16
"""Lanes from which few netlists are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """One netlist of a unit."""

    recipe: str
    """How it was mapped."""
    target_ps: float
    """What it was sized for, ps."""
    period_ps: float
    """Its shortest clock period from static timing, ps."""
    area: float
    """All its cells, as the library says."""
    arithmetic: float
    """Arithmetic with its pipeline registers."""
    store: float
    """Parameter store, of one column a lane."""
    energy: Power | None = None
    """Energy of a cycle in steady state; None where it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured of one unit. A plain record: what is derived from it is derived again when it is read."""

    label: str
    """The unit's name in the tables."""
    unit: str
    """Its name in the registry."""
    lanes: int
    """Data points a cycle."""
    verilog: str
    """SHA-256 of the Verilog text that was mapped."""
    cycles: Cycles
    """Cycles of a vector."""
    bits: int
    """Parameter bits stored, of all columns of the vector."""
    netlists: tuple[Netlist, ...]
    """Its netlists."""


def mapped(candidate: Candidate) -> NmpuConfig | Fp16Config:
    """Return the configuration that is mapped: one column a lane, since storage is counted apart, by the bit."""
    return dataclasses.replace(candidate.config, columns=1)


def text(candidate: Candidate) -> str:
    """Return the Verilog that is mapped."""
    return elaborate(candidate.unit, mapped(candidate))


def stored_bits(candidate: Candidate) -> int:
    """Return the bits of the run-time parameters of all columns."""
    members: dict[str, Any] = find_unit(candidate.unit).members(candidate.config)
    fields = members["write"].signature.members["data"].shape
    return int(Shape.cast(fields).width) * candidate.config.units * candidate.config.columns


def measure(candidate: Candidate, library: Library, *, quick: bool = False) -> Measured:
    """Map a unit onto a library, time it, and count its cycles. Clock gates stand for enables where there are any.

    Its energy is measured where Icarus Verilog is installed. Raises UserError where Yosys or OpenSTA is missing.
    """
    verilog = text(candidate)
    search = BRIEF if quick else FEW if candidate.lanes >= MANY_LANES else SEARCH
    standing = find_unit(candidate.unit).standing(mapped(candidate))
    gates = library.has_clock_gate
    report = synthesise(verilog, candidate.unit, library, search=search, clock_gates=gates, standing=standing)
    energies = tables(library) if missing() is None else None
    netlists = []
    for point in report.points:
        areas = {share.part: share.area for share in report.shares(point)}
        netlists.append(
            Netlist(
                recipe=point.recipe,
                target_ps=point.target_ps,
                period_ps=point.period_ps,
                area=point.area,
                arithmetic=areas.get(Part.DATAPATH, 0.0),
                store=areas.get(Part.STORE, 0.0),
                energy=None if energies is None else energy.measure(candidate, point.netlist.module, library, energies),
            )
        )
    return Measured(
        label=candidate.label,
        unit=candidate.unit,
        lanes=candidate.lanes,
        verilog=fingerprint(verilog, candidate.unit),
        cycles=count(candidate),
        bits=stored_bits(candidate),
        netlists=tuple(netlists),
    )
