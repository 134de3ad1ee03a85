"""The results of `nmpu synth` as tables and as JSON: every number with its unit and where it comes from."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.table import Table

from synth.fpga import Placed
from synth.generic import TRANSISTORS, Estimate
from synth.synthesis import Point, Report
from synth.timing import NOT_MEASURED

_CONDITIONS = (
    "Period: static timing, one ideal clock, input and output delay 0, no wires; inputs behind, outputs in front of "
    "{driver}; of a whole unit, standing registers (those of the layer) have two cycles. Area: sum of the cells' areas "
    "as the Liberty file says (um2 by custom)."
)


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right")
    return table


def print_report(report: Report, chosen: Point, console: Console) -> None:
    """Print the frontier of a search, and one of its points in detail: its paths and where its area goes."""
    console.print(f"{report.name} on {report.library.name}; {', '.join(report.tools)}")
    console.print(_CONDITIONS.format(driver=report.library.driver.name), "\n")
    table = _table("", "recipe", "target ps", "area um2", "cells", "flip-flops", "depth", "period ps", "MHz", left=2)
    for point in report.frontier:
        timed = (f"{point.period_ps:.1f}", f"{point.timing.mhz:.1f}") if point.timing is not None else ("", "")
        table.add_row(
            "*" if point is chosen else "",
            point.recipe,
            f"{point.target_ps:.0f}",
            f"{point.area:.2f}",
            str(point.cells),
            str(point.flops),
            str(point.depth),
            *timed,
        )
    console.print(table)
    console.print(
        f"The frontier of {len(report.points)} netlists; * is shown below (unless asked for, least area x period)."
    )
    if chosen.timing is None:
        console.print(f"Period: {NOT_MEASURED}")
    else:
        table = _table("worst path", "period ps", "gates", "from", "to")
        for route in chosen.timing.routes:
            table.add_row(route.kind, f"{route.period_ps:.1f}", str(route.gates), route.start, route.end)
        console.print("", table)
    shares = report.shares(chosen)
    table = _table("part", "cells", "flip-flops", "area um2", "of it flip-flops", "share")
    for share in shares:
        areas = (f"{share.area:.2f}", f"{share.flop_area:.2f}", f"{100 * share.area / chosen.area:.1f} %")
        table.add_row(share.part.value, str(share.cells), str(share.flops), *areas)
    console.print("", table)


def print_estimate(estimate: Estimate, console: Console) -> None:
    """Print the size in generic gates, with the formula of the transistors."""
    console.print(f"{estimate.name} without a cell library; {', '.join(estimate.tools)}\n")
    table = _table("cell", "number", "transistors each", "transistors")
    for kind, count in estimate.cells.items():
        each = TRANSISTORS[kind]
        table.add_row(kind.strip("$_"), str(count), str(each), str(each * count))
    table.add_row("sum", str(estimate.gates + estimate.flops), "", str(estimate.transistors))
    console.print(table)
    console.print(
        f"{estimate.gates} gates, {estimate.flops} flip-flops; transistors = sum of number x transistors each, static "
        "CMOS, 24 a flip-flop. Area and period need a cell library: --liberty FILE."
    )


def print_placed(placed: Placed, console: Console) -> None:
    """Print cells and clock on an FPGA."""
    console.print(f"{placed.name} on {placed.family.value} ({placed.family.device}); {', '.join(placed.tools)}\n")
    table = _table("cell", "number")
    for kind, count in placed.cells.items():
        table.add_row(kind, str(count))
    console.print(table)
    console.print(f"Clock after place and route: {placed.mhz:.1f} MHz")


def report_json(report: Report, chosen: Point) -> dict[str, Any]:
    """Return a search as JSON takes it; areas as the Liberty file says, times in ps."""
    shares = [
        {"part": s.part.value, "cells": s.cells, "flops": s.flops, "area": s.area, "flop_area": s.flop_area}
        for s in report.shares(chosen)
    ]
    return {
        "unit": report.name,
        "library": report.library.name,
        "tools": list(report.tools),
        "driver": report.library.driver.name,
        "points": [_point_json(point) for point in report.points],
        "frontier": [report.points.index(point) for point in report.frontier],
        "chosen": report.points.index(chosen),
        "shares": shares,
    }


def _point_json(point: Point) -> dict[str, Any]:
    paths = [
        {"kind": r.kind, "period_ps": r.period_ps, "gates": r.gates, "from": r.start, "to": r.end}
        for r in (point.timing.routes if point.timing is not None else ())
    ]
    return {
        "recipe": point.recipe,
        "target_ps": point.target_ps,
        "area": point.area,
        "cells": point.cells,
        "flops": point.flops,
        "flop_area": point.flop_area,
        "depth": point.depth,
        "period_ps": point.period_ps if math.isfinite(point.period_ps) else None,
        "paths": paths,
    }


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as JSON takes it."""
    return {
        "unit": estimate.name,
        "tools": list(estimate.tools),
        "cells": estimate.cells,
        "gates": estimate.gates,
        "flops": estimate.flops,
        "transistors": estimate.transistors,
    }


def placed_json(placed: Placed) -> dict[str, Any]:
    """Return a placed component as JSON takes it."""
    return {
        "unit": placed.name,
        "family": placed.family.value,
        "device": placed.family.device,
        "tools": list(placed.tools),
        "cells": placed.cells,
        "mhz": placed.mhz,
    }
