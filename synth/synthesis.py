"""Area and clock of any component of this repository on the user's cell library, as one frontier.

    from synth.synthesis import synthesise
    report = synthesise(MyStage(), "my_stage", [Path("cells.lib")])     # any Amaranth component, or Verilog text
    print(report.fastest.period_ps, report.densest.area, report.within(705.0).area)

Period: static timing (`synth.timing`) of the mapped netlist, from the clock-to-Q to the set-up, ports with delay 0, no
wires. Area: the sum of the mapped cells' areas, as the library says. Both depend on the mapper's luck by some per cent,
so that several recipes and targets are tried, and what no other point beats in both is the frontier.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from synth import liberty, parts, timing, yowasp
from synth.liberty import Kind, Library
from synth.mapping import RECIPES, Netlist, Recipe, map_cells, source
from synth.timing import Timing

_TIGHT_PS = 1.0
"""A target that nothing meets: ABC then makes the netlist as fast as it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which netlists a search makes."""

    recipes: tuple[Recipe, ...] = RECIPES
    """Ways to map; each is tried once as fast as it can be."""
    relaxed: tuple[float, ...] = (1.1, 1.3, 1.8)
    """Further targets, as multiples of what a recipe reaches at its fastest."""


FULL = Search()
QUICK = Search(recipes=RECIPES[3:4], relaxed=())
"""One netlist, for large units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mapped netlist."""

    recipe: str
    """How it was mapped."""
    target_ps: float
    """The delay that ABC sized for, ps; 1 is as fast as it can."""
    area: float
    """Area of all cells, as the library says: um2 by custom."""
    cells: int
    """Cells, flip-flops among them."""
    flops: int
    """Flip-flops."""
    flop_area: float
    """Area of the flip-flops alone."""
    depth: int
    """Gates on the longest path between registers or ports."""
    timing: Timing | None
    """Its static timing; None where OpenSTA is not installed."""
    netlist: Netlist = field(repr=False, compare=False)
    """The netlist itself."""

    @property
    def period_ps(self) -> float:
        """Return the shortest period, ps; infinite where it was not measured."""
        return self.timing.period_ps if self.timing is not None else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a search found for one component on one library."""

    name: str
    """The component."""
    library: Library = field(repr=False)
    """The cells."""
    tools: tuple[str, ...]
    """Tools with their versions."""
    points: tuple[Point, ...]
    """Every netlist that was made."""

    @property
    def frontier(self) -> tuple[Point, ...]:
        """Return the points that no other beats in both area and period, the fastest first."""
        kept: list[Point] = []
        for point in sorted(self.points, key=lambda each: (each.period_ps, each.area)):
            if not kept or point.area < kept[-1].area:
                kept.append(point)
        return tuple(kept)

    @property
    def fastest(self) -> Point:
        """Return the point of the shortest period."""
        return self.frontier[0]

    @property
    def smallest(self) -> Point:
        """Return the point of the least area."""
        return self.frontier[-1]

    @property
    def densest(self) -> Point:
        """Return the point of the least area times period: the most work a second on a given area."""
        return min(self.points, key=lambda point: (point.area * point.period_ps, point.area))

    def within(self, period_ps: float) -> Point:
        """Return the smallest point whose period is no longer than asked for.

        Raises UserError where OpenSTA is not installed, or no point is fast enough.
        """
        if any(point.timing is None for point in self.points):
            timing.version()
        fit = [point for point in self.points if point.period_ps <= period_ps]
        if not fit:
            raise UserError(
                f"{self.name} does not reach a period of {period_ps:g} ps on {self.library.name}: the shortest found "
                f"is {self.fastest.period_ps:.0f} ps"
            )
        return min(fit, key=lambda point: (point.area, point.period_ps))

    def shares(self, point: Point) -> tuple[parts.Share, ...]:
        """Return what arithmetic, parameter store, control and flags take of a point."""
        return parts.shares(point.netlist, self.library)


def synthesise(
    top: Any,
    name: str,
    liberties: Library | Sequence[Path],
    period_ps: float | None = None,
    *,
    search: Search = FULL,
    aims: Sequence[float] = (),
    clock_gates: bool = False,
    standing: Sequence[str] = (),
) -> Report:
    """Map a component onto a library and time it: `report.fastest`, `.smallest`, `.densest`, `.within(period_ps)`.

    `top`: an Amaranth component (not yet elaborated), or the Verilog text of module `name`. `liberties`: the user's
    Liberty files, plain or compressed, or a library that `synth.liberty.read` returned (reading takes a second).
    `period_ps`: a clock that must be met; `aims`: clocks aimed at, no more. `clock_gates`: flip-flops
    that share an enable share a clock gate instead. `standing`: registers that stand still before a word needs them
    (`synth.registry`), whose paths have two cycles. Deterministic for the same tools.

    Raises UserError where Yosys is missing, where the library cannot be mapped onto or has no clock gate, or, with
    `period_ps`, where OpenSTA is missing or no netlist meets it. Without OpenSTA the points have no timing.
    """
    if period_ps is not None:
        timing.version()
    library = liberties if isinstance(liberties, Library) else liberty.read(liberties)
    if clock_gates and not library.has_clock_gate:
        raise UserError(f"{library.name} has no clock gate (a cell with `clock_gating_integrated_cell`)")
    tools = (yowasp.tool(), *((timing.version(),) if timing.installed() else ()))
    with tempfile.TemporaryDirectory(prefix="nmpu-synth-") as scratch:
        folder = Path(scratch)
        read = source(top, name, folder)
        aims = (*aims, *(() if period_ps is None else (period_ps,)))
        points = tuple(_search(read, name, library, search, aims, folder, clock_gates, standing))
    report = Report(name=name, library=library, tools=tools, points=points)
    if period_ps is not None:
        report.within(period_ps)
    return report


def _search(
    read: str,
    name: str,
    library: Library,
    search: Search,
    aims: Sequence[float],
    folder: Path,
    clock_gates: bool,
    standing: Sequence[str],
) -> Iterator[Point]:
    """Make the netlists of a search: every recipe as fast as it can, then relaxed."""
    for recipe in search.recipes:
        tight = _point(read, name, library, recipe, _TIGHT_PS, folder, clock_gates, standing)
        yield tight
        if tight.timing is None:
            continue
        targets = [tight.period_ps * factor for factor in search.relaxed]
        # the target knows neither clock-to-Q nor set-up, so aim below the period as well
        targets += [aim * factor for aim in aims for factor in (0.8, 0.87, 0.94)]
        for target in targets:
            yield _point(read, name, library, recipe, target, folder, clock_gates, standing)


def _point(
    read: str,
    name: str,
    library: Library,
    recipe: Recipe,
    target_ps: float,
    folder: Path,
    clock_gates: bool,
    standing: Sequence[str],
) -> Point:
    """Map and time one netlist."""
    netlist = map_cells(read, name, library, recipe, target_ps, folder, clock_gates=clock_gates)
    timed = timing.analyse(netlist.verilog, name, library, folder, standing=standing) if timing.installed() else None
    return Point(
        recipe=recipe.name,
        target_ps=target_ps,
        area=netlist.area(library),
        cells=netlist.count(library),
        flops=netlist.count(library, Kind.FLOP),
        flop_area=netlist.area(library, Kind.FLOP),
        depth=parts.depth(netlist, library),
        timing=timed,
        netlist=netlist,
    )
