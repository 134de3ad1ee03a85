"""Plots of a study as SVG text: lines with error bars over a field, or two measures against each other."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from integration.studies.report.table import Table, front, heading, plotted, text
from integration.studies.sweep.study import Plot
from integration.studies.sweep.task import Better, Line, Measure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's palette: told apart by colour-blind readers, and in grey by their marks."""
MARKS = "osD^vP*X<>"
MOST_LINES = 14
"""Lines beyond which a legend helps nobody."""


def is_number(value: Any) -> bool:
    """Whether a field's value is a number (a bool is a category)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def default_plots(table: Table) -> list[Plot]:
    """Return a plot of the first measure over each numeric field that varies, else over the field of most values."""
    if not table.measures:
        return []
    first = table.measures[0].name
    values = {k: {text(line.setting[k]) for line in table.lines if k in line.setting} for k in table.keys}
    numeric = [
        key
        for key in table.keys
        if len(values[key]) > 1 and all(is_number(line.setting[key]) for line in table.lines if key in line.setting)
    ]
    if not numeric and values:
        numeric = [max(table.keys, key=lambda key: len(values[key]))]
    return [Plot(x=key, y=first) for key in numeric]


@contextmanager
def _figure() -> Iterator[Any]:
    """A figure with one pair of axes; the style holds inside alone."""
    import matplotlib
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "nmpu", "text.parse_math": False,
        "font.family": "sans-serif", "font.size": 9,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e0e0e0",
        "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False, "errorbar.capsize": 2.5,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2, 3.9), layout="constrained")
        yield figure


def _svg(figure: Any, number: int) -> str:
    """Return a figure as an SVG element, its ids its own on the page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>plot{number}-", svg)
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*" width="[^"]*"', r"<svg \1", svg, count=1
    )


def _label(line: Line, keys: Sequence[str]) -> str:
    """Return what tells a line's mark from others."""
    parts = [(key, text(line.setting[key])) for key in keys if key in line.setting]
    if len(keys) == 1:
        return parts[0][1] if parts else ""
    return ", ".join(value if key == keys[0] else f"{key.rpartition('.')[2]} {value}" for key, value in parts)


def draw(plot: Plot, table: Table, number: int) -> str:
    """Return a plot as an SVG element; `number` tells it from others on the page."""
    y = next((measure for measure in table.measures if measure.name == plot.y), None)
    if y is None:
        return ""  # no line has this measure: all failed, or it needs a baseline that is not there
    x = next((measure for measure in table.measures if measure.name == plot.x), None)
    table = plotted(plot, table)
    with _figure() as figure:
        axes = figure.subplots()
        if plot.logarithmic:
            axes.set_xscale("log")
        if plot.logarithmic_y:
            axes.set_yscale("log", subs=(2, 5))
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter("{x:g}")  # not a power, which would be mathematics in text
                axis.set_minor_formatter("{x:g}" if axis is axes.yaxis else "")
        keys = [plot.by] if plot.by else [key for key in table.keys if key != plot.x]
        if x is None:
            _over_field(axes, plot, y, table, keys)
        else:
            _against(axes, x, y, table, [plot.by] if plot.by else list(table.keys))
        axes.set_ylabel(heading(y))
        axes.margins(0.06, 0.1)
        handles, labels = axes.get_legend_handles_labels()
        if 1 < len(labels) <= MOST_LINES or (labels and labels[0]):
            longest = max(map(len, labels))
            columns = len(labels) if len(labels) * (longest + 8) < 90 else 1 if longest < 16 else 2
            place = "outside right upper" if columns == 1 else "outside upper left"
            figure.legend(handles, labels, loc=place, ncols=columns, fontsize=8)
        return _svg(figure, number)


def _over_field(axes: Any, plot: Plot, y: Measure, table: Table, keys: list[str]) -> None:
    """Draw a measure over a field: a line for each combination of `keys`; settings without the field lie across."""
    having = [line for line in table.lines if y.name in line.estimates]
    values = [line.setting[plot.x] for line in having if plot.x in line.setting]
    categories = None if all(map(is_number, values)) else list(dict.fromkeys(map(text, values)))
    series: dict[str, list[Line]] = {}
    for line in having:
        unset = "" if plot.x in line.setting or plot.x in keys else f"{plot.x} not set"
        series.setdefault(", ".join(filter(None, (_label(line, keys), unset))), []).append(line)
    known = list(dict.fromkeys(_label(line, keys) for line in table.lines))  # the same style in every plot of a page
    for label, lines in list(series.items())[:MOST_LINES]:
        style = known.index(_label(lines[0], keys))
        colour, mark = COLOURS[style % len(COLOURS)], MARKS[style % len(MARKS)]
        over = [line for line in lines if plot.x in line.setting]
        if not over:
            level = lines[0].estimates[y.name].mean
            axes.axhline(level, color=colour, linestyle="--", linewidth=1, label=label)
            continue
        if categories is None:
            points = sorted((line.setting[plot.x], line.estimates[y.name]) for line in over)
        else:
            points = [(categories.index(text(line.setting[plot.x])), line.estimates[y.name]) for line in over]
        axes.errorbar(
            [at for at, _ in points],
            [e.mean for _, e in points],
            yerr=[e.error or 0.0 for _, e in points],
            color=colour,
            marker=mark,
            markersize=4.5,
            linewidth=1.2 if categories is None else 0,
            elinewidth=1,
            label=label,
        )
    axes.set_xlabel(plot.x)
    if categories is not None:
        axes.set_xticks(range(len(categories)), categories)
        axes.set_xlim(-0.6, len(categories) - 0.4)
    elif len(set(values)) <= 12:
        axes.set_xticks(sorted(set(values)), [text(value) for value in sorted(set(values))])
        axes.tick_params(axis="x", which="minor", bottom=False)


def _against(axes: Any, x: Measure, y: Measure, table: Table, keys: list[str]) -> None:
    """Draw two measures against each other, and the front of those that nothing beats."""
    lines = [line for line in table.lines if x.name in line.estimates and y.name in line.estimates]
    series: dict[str, list[Line]] = {}
    for line in lines:
        series.setdefault(_label(line, keys) or (f"{keys[0]} not set" if len(keys) == 1 else ""), []).append(line)
    for style, (label, own) in enumerate(list(series.items())[:MOST_LINES]):
        axes.errorbar(
            [line.estimates[x.name].mean for line in own],
            [line.estimates[y.name].mean for line in own],
            xerr=[line.estimates[x.name].error or 0.0 for line in own],
            yerr=[line.estimates[y.name].error or 0.0 for line in own],
            color=COLOURS[style % len(COLOURS)],
            marker=MARKS[style % len(MARKS)],
            markersize=5,
            linewidth=0,
            elinewidth=1,
            label=label,
        )
    best = front(lines, x, y)
    if len(best) > 1:
        axes.plot(
            [line.estimates[x.name].mean for line in best],
            [line.estimates[y.name].mean for line in best],
            color="#888888",
            linewidth=1,
            linestyle=":",
            label="Pareto front",
            zorder=1,
            drawstyle="steps-post" if x.better is Better.LOWER else "steps-pre",
        )
    axes.set_xlabel(heading(x))
