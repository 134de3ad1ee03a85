"""The report: one HTML page that carries its plots and its style in itself."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from integration.studies.report.plots import default_plots, draw
from integration.studies.report.table import Comparison, Table, cells, front_table, shared, tabulate, text
from integration.studies.sweep.store import Results
from integration.studies.sweep.study import Plot


def build(results: Results, comparison: Comparison | None = None) -> str:
    """Return the page of a study's results."""
    table = tabulate(results)
    plots = [Plot(**plot) for plot in results.header["plots"]] or default_plots(table)
    # draw() returns SVG that Matplotlib wrote, which escapes every text put into it: it alone enters as it is
    drawn = [(plot, Markup(draw(plot, table, number))) for number, plot in enumerate(plots, 1)]
    environment = Environment(
        loader=PackageLoader("integration.studies.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    seconds = sum(results.times[row.hash].get("seconds", 0.0) for row in results.rows if row.hash in results.times)
    page: str = environment.get_template("page.html").render(
        header=results.header,
        title=results.header["title"] or results.header["study"],
        whole=_shown(table),
        shared=shared(table),
        dot=Markup(".<wbr>"),  # a field's name may break behind its dots
        note=table.task.note,
        plots=[(_caption(plot, table), svg, _shown(front_table(plot, table))) for plot, svg in drawn if svg],
        comparison=comparison,
        failures=[(", ".join(f"{k} = {text(v)}" for k, v in f.setting.items()), f) for f in results.failures],
        runs=[_run(run) for run in results.runs],
        computed=len(results.rows),
        hosts=sorted({record["host"] for record in results.times.values() if "host" in record}),
        time=_duration(seconds),
    )
    return page


def _shown(table: Table | None) -> dict[str, Any]:
    """Return a table as the page shows it: columns, how many of them are fields, lines."""
    if table is None:
        return {"columns": [], "fields": 0, "lines": []}
    columns = [*((key, "") for key in (*table.keys, "seeds")), *((m.title, m.unit) for m in table.measures)]
    return {"columns": columns, "fields": len(table.keys), "lines": [cells(table, line) for line in table.lines]}


def _caption(plot: Plot, table: Table) -> str:
    names = {measure.name: measure.title for measure in table.measures}
    caption = f"{names.get(plot.y, plot.y)} over {names.get(plot.x, plot.x)}"
    if plot.without is not None and any(plot.without in line.setting for line in table.lines):
        caption += f"; lines that set {plot.without} left out"
    if plot.x in names:
        return caption + "; dotted: what nothing beats in both"
    everywhere = all(plot.x in line.setting for line in table.lines)
    return caption + "; bars: one standard error over seeds" + ("" if everywhere else "; dashed: without the field")


def _run(run: dict[str, Any]) -> dict[str, Any]:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return {**run, "versions": versions}


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
