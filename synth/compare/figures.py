"""What follows from the measurements: times, throughput, areas, and the ratios, each with its formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from synth.compare.measure import Measured, Netlist

PAPER = {"time": 139.0, "area": 7.8, "area of one lane": 505.0}
"""The paper's ratios (arXiv 2402.07549): speed-up, smaller area of 64 units, and about 505 for one unit (inferred)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best of several units for one figure, and the netlist that gave it."""

    value: float
    unit: Measured
    netlist: Netlist


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """One ratio: above 1 the NMPU is better."""

    name: str
    formula: str
    value: float
    nmpu: Best
    """What stands for the NMPU."""
    fp16: Best
    """The best of the FP16 unit's depths for this figure."""
    paper: float | None
    """The paper's, where it gives one."""


def vector_ps(unit: Measured, netlist: Netlist) -> float:
    """Return the time of one vector, from its first word accepted to its last word delivered, ps."""
    return unit.cycles.vector * netlist.period_ps


def vectors_a_second(unit: Measured, netlist: Netlist) -> float:
    """Return the vectors a second in steady state."""
    return 1e12 / (unit.cycles.steady * netlist.period_ps)


def density(unit: Measured, netlist: Netlist) -> float:
    """Return the vectors a second and unit of arithmetic area."""
    return vectors_a_second(unit, netlist) / netlist.arithmetic


def whole(unit: Measured, netlist: Netlist, bit: float) -> float:
    """Return the area of the unit with all its storage, `bit` the area of one bit."""
    return netlist.area - netlist.store + unit.bits * bit


def vector_fj(unit: Measured, netlist: Netlist) -> float:
    """Return the energy of one vector in steady state, fJ; not a number where it was not measured."""
    if netlist.energy is None:
        return math.nan
    return unit.cycles.steady * netlist.energy.cycle_fj(netlist.period_ps)


def point_fj(unit: Measured, netlist: Netlist) -> float:
    """Return the energy of one data point, a column of a vector, in steady state, fJ."""
    return vector_fj(unit, netlist) / (unit.cycles.steady * unit.lanes)


def best(units: Sequence[Measured], figure: Callable[[Measured, Netlist], float], *, least: bool) -> Best:
    """Return the best netlist of some units for a figure, the least or the largest; one at least has the figure."""
    found = [Best(value=figure(u, n), unit=u, netlist=n) for u in units for n in u.netlists]
    found = [each for each in found if not math.isnan(each.value)]
    return (min if least else max)(found, key=lambda each: each.value)


def ratios(nmpu: Measured, fp16: Sequence[Measured], bit: float) -> tuple[Ratio, ...]:
    """Return every ratio of one NMPU over the best FP16 unit; the first is the headline, energy last where measured."""

    def ratio(
        name: str,
        formula: str,
        figure: Callable[[Measured, Netlist], float],
        *,
        least: bool = True,
        paper: float | None = None,
    ) -> Ratio:
        ours, base = best([nmpu], figure, least=least), best(fp16, figure, least=least)
        value = base.value / ours.value if least else ours.value / base.value
        return Ratio(name=name, formula=formula, value=value, nmpu=ours, fp16=base, paper=paper)

    found = (
        ratio("time of a vector", "FP16 (cycles x period) / NMPU (cycles x period)", vector_ps, paper=PAPER["time"]),
        ratio("cycles of a vector", "FP16 cycles / NMPU cycles", lambda u, n: float(u.cycles.vector)),
        ratio("clock period", "FP16 period / NMPU period", lambda u, n: n.period_ps),
        ratio(
            "vectors a second",
            f"NMPU 1 / (steady cycles x period) / FP16 the same; {nmpu.lanes}x of it by construction",
            vectors_a_second,
            least=False,
        ),
        ratio(
            "vectors a second and arithmetic area",
            "NMPU (vectors a second / arithmetic area) / FP16 the same",
            density,
            least=False,
        ),
        ratio(
            "arithmetic area",
            "FP16 arithmetic area / NMPU arithmetic area, all lanes",
            lambda u, n: n.arithmetic,
            paper=PAPER["area"],
        ),
        ratio(
            "arithmetic area of one lane",
            "FP16 arithmetic area / (NMPU arithmetic area / lanes)",
            lambda u, n: n.arithmetic / u.lanes,
            paper=PAPER["area of one lane"],
        ),
        ratio("storage bits", "FP16 bits / NMPU bits", lambda u, n: float(u.bits)),
        ratio(
            "whole unit, storage included",
            "FP16 area / NMPU area; area = cells without store + bits x area of a bit",
            lambda u, n: whole(u, n, bit),
        ),
        ratio(
            "vectors a second and whole area",
            "NMPU (vectors a second / whole area) / FP16 the same",
            lambda u, n: vectors_a_second(u, n) / whole(u, n, bit),
            least=False,
        ),
    )
    if not all(any(n.energy for u in units for n in u.netlists) for units in ([nmpu], fp16)):
        return found
    formula = (
        "FP16 (steady cycles x energy of a cycle) / NMPU the same; parameters of one column a lane, standing still"
    )
    return (*found, ratio("energy of a vector", formula, vector_fj))
