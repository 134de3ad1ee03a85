"""A study's results as a table: on the console, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Printed

from integration.studies.sweep.store import Results
from integration.studies.sweep.study import SEED, Plot
from integration.studies.sweep.task import Better, Estimate, Line, Measure, Task, find

SHOWN = 60
"""Lines that the console shows; the report has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A study's lines and the columns that they have."""

    task: Task
    keys: tuple[str, ...]
    """The fields that vary, the seed left out."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """The study's fields that are the same in all lines, of which there are several."""
    measures: tuple[Measure, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ours beside a paper's figures."""

    source: str
    """The paper."""
    rows: tuple[tuple[str, str, str, str], ...]
    """What, the paper's figure, ours, remark."""

    def document(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        names = ("what", "paper", "ours", "remark")
        return {"source": self.source, "rows": [dict(zip(names, row, strict=True)) for row in self.rows]}


def tabulate(results: Results) -> Table:
    """Return the table of results: a line a setting, statistics over seeds. UserError where the task is not found."""
    task = find(results.header["task"])
    lines = task.summary(results.rows, task.measures)
    keys = [key for key in results.header["keys"] if key != SEED and any(key in line.setting for line in lines)]
    first = lines[0].setting if len(lines) > 1 else {}
    fixed = {k: first[k] for k in keys if k in first and all(line.setting.get(k) == first[k] for line in lines)}
    keys = [key for key in keys if key not in fixed]
    measures = [m for m in task.measures if any(m.name in line.estimates for line in lines)]
    return Table(task=task, keys=tuple(keys), fixed=fixed, measures=tuple(measures), lines=tuple(lines))


def shared(table: Table) -> str:
    """Return what all lines share as a sentence, empty where there is nothing."""
    return f"All lines: {', '.join(f'{k} {text(v)}' for k, v in table.fixed.items())}." if table.fixed else ""


def text(value: Any) -> str:
    """Return a field's value as a study writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def cell(estimate: Estimate | None, measure: Measure) -> str:
    """Return a mean with its standard errors: 86.56 ± 0.03 (0.05)."""
    if estimate is None:
        return ""
    shown = f"{estimate.mean:.{measure.digits}f}"
    if estimate.error is not None and (measure.digits or estimate.error):
        shown += f" ± {estimate.error:.{measure.digits}f}"
    if estimate.within is not None:
        shown += f" ({estimate.within:.{measure.digits}f})"
    return shown


def cells(table: Table, line: Line) -> list[str]:
    """Return a line's cells: fields, number of points, measures."""
    settings = [text(line.setting[key]) if key in line.setting else "" for key in table.keys]
    values = [cell(line.estimates.get(measure.name), measure) for measure in table.measures]
    return [*settings, str(len(line.rows)), *values]


def heading(measure: Measure) -> str:
    """Return a measure's title with its unit."""
    return measure.title + (f", {measure.unit}" if measure.unit else "")


def front(lines: Sequence[Line], x: Measure, y: Measure) -> list[Line]:
    """Return the lines that no other beats in both measures, in the order of x; none where a preference is missing."""
    if x.better is None or y.better is None:
        return []
    having = [line for line in lines if x.name in line.estimates and y.name in line.estimates]
    signs = [1.0 if measure.better is Better.LOWER else -1.0 for measure in (x, y)]
    costs = [(signs[0] * line.estimates[x.name].mean, signs[1] * line.estimates[y.name].mean) for line in having]
    best = [i for i, (a, b) in enumerate(costs) if not any((c <= a and d <= b) and (c < a or d < b) for c, d in costs)]
    return [having[i] for i in sorted(best, key=lambda i: having[i].estimates[x.name].mean)]


def plotted(plot: Plot, table: Table) -> Table:
    """Return the table of the lines that a plot shows."""
    return replace(table, lines=tuple(line for line in table.lines if plot.without not in line.setting))


def front_table(plot: Plot, table: Table) -> Table | None:
    """Return the front of a plot of two measures as a table of its own; None for other plots and empty fronts."""
    table = plotted(plot, table)
    x, y = (next((m for m in table.measures if m.name == name), None) for name in (plot.x, plot.y))
    if x is None or y is None:
        return None
    best = front(table.lines, x, y)
    keys = tuple(key for key in table.keys if any(key in line.setting for line in best))
    return replace(table, keys=keys, measures=(x, y), lines=tuple(best)) if best else None


def document(results: Results) -> dict[str, Any]:
    """Return the table as plain data, for JSON."""
    table = tabulate(results)
    return {
        "study": results.header["study"],
        "task": results.header["task"],
        "source": results.header["source"],
        "releases": results.header["releases"],
        "points": results.header["points"],
        "lines": [
            {
                "setting": line.setting,
                "seeds": len(line.rows),
                "measures": {name: asdict(value) for name, value in line.estimates.items()},
            }
            for line in table.lines
        ],
        "failures": [asdict(failure) for failure in results.failures],
    }


def print_results(results: Results, folder: Path, console: Console) -> None:
    """Print the table, the failures, and where everything is."""
    table = tabulate(results)
    title = results.header["title"] or results.header["study"]
    brief = replace(table, measures=tuple(measure for measure in table.measures if measure.brief))
    if table.lines:
        _print_table(title, brief, console)
    if len(table.lines) > SHOWN:
        console.print(f"{len(table.lines) - SHOWN} more lines are in the report", highlight=False, soft_wrap=True)
    for plot in (Plot(**plot) for plot in results.header["plots"]):
        best = front_table(plot, table)
        if best is not None:
            x, y = (measure.title for measure in best.measures)
            _print_table(f"Pareto front: {y} over {x}", best, console)
    for remark in filter(None, (shared(table), table.task.note)):
        console.print(remark, style="dim", highlight=False, soft_wrap=True)
    _print_failures(results, console)
    count, total = len(results.rows), results.header["points"]
    made = f"{folder / 'results.jsonl'}, {folder / 'report.html'}"
    console.print(f"{count} of {total} points: {made}", highlight=False, soft_wrap=True)


def _print_table(title: str, table: Table, console: Console) -> None:
    """Print a table's first lines."""
    printed = Printed(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for key in table.keys:
        printed.add_column(key, overflow="fold")
    for name in ("seeds", *map(heading, table.measures)):
        printed.add_column(name.replace(", ", "\n"), justify="right", overflow="fold")
    for line in table.lines[:SHOWN]:
        printed.add_row(*cells(table, line))
    _print_whole(printed, console)


def _print_whole(printed: Printed, console: Console) -> None:
    """Print a table as wide as it is where nobody's window limits it: in a file or a pipe."""
    width = Measurement.get(console, console.options.update(max_width=1000), printed).maximum
    if not console.is_terminal and width > console.width:
        console = Console(file=console.file, width=width)
    console.print(printed)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print ours beside a paper's."""
    printed = Printed(title="beside the paper", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("", "paper", "ours", ""):
        printed.add_column(name, justify="right" if name else "left", overflow="fold")
    for row in comparison.rows:
        printed.add_row(*row)
    _print_whole(printed, console)
    console.print(comparison.source, style="dim", highlight=False, soft_wrap=True)


def _print_failures(results: Results, console: Console, shown: int = 5) -> None:
    failures: Sequence[Any] = results.failures
    for failure in failures[:shown]:
        where = ", ".join(f"{key} = {text(value)}" for key, value in failure.setting.items())
        console.print(f"failed: {where}: {failure.error}", markup=False, highlight=False, soft_wrap=True)
    if failures:
        more = f"{len(failures) - shown} more failed; " if len(failures) > shown else ""
        console.print(f"{more}--retry computes them again, the report says where they failed", highlight=False)
