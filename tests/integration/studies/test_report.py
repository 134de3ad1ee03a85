"""Tables, plots and the page of a study."""

import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from integration.studies.report.page import build
from integration.studies.report.plots import default_plots, draw
from integration.studies.report.table import (
    cell,
    document,
    front,
    front_table,
    plotted,
    print_results,
    shared,
    tabulate,
)
from integration.studies.sweep.engine import sweep
from integration.studies.sweep.store import Results, read_results
from integration.studies.sweep.study import Plot, parse
from integration.studies.sweep.task import Better, Estimate, Line, Measure

STUDY = """
title = "Areas <of> & shapes"
task = "trivial_tasks:TRIVIAL"
seeds = 3
[grid]
label = ["<script>alert(1)</script>", "b"]
shape.width = [1, 2, 4]
fail = [false, true]
[[plot]]
x = "shape.width"
y = "area"
by = "label"
[[plot]]
x = "cost"
y = "area"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    sweep(parse(STUDY, "s.toml", name="s"), folder, command="nmpu sweep s.toml --workers 2")
    return folder


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return read_results(folder)


def test_estimates_by_hand(results: Results) -> None:
    """Seeds 0, 1, 2 add 0, 0.2 and 0.4 to an area of width * 1."""
    table = tabulate(results)
    assert len(table.lines) == 6 and table.keys == ("label", "shape.width")
    assert table.fixed == {"fail": False} and shared(table) == "All lines: fail false."
    line = next(line for line in table.lines if line.setting["shape.width"] == 4)
    assert line.estimates["area"].mean == pytest.approx(4.2)
    assert line.estimates["area"].error == pytest.approx(0.2 / 3**0.5)
    assert "nothing" not in line.estimates
    assert [line.setting["shape.width"] for line in table.lines] == [1, 2, 4] * 2


def test_cells() -> None:
    measure = Measure(name="m", title="m", digits=1)
    assert cell(Estimate(mean=2.0, error=0.25, within=0.5), measure) == "2.0 ± 0.2 (0.5)"
    assert cell(Estimate(mean=2.0), measure) == "2.0" and cell(None, measure) == ""


class Page(HTMLParser):
    """What a browser would load or run, and how often elements open and close."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        for name, value in attributes:
            outside = name in ("src", "href", "xlink:href", "action", "data") and not str(value).startswith("#")
            if outside or name.startswith("on"):
                self.loads.append(f"{tag} {name}={value}")
        if tag not in ("meta", "br", "wbr", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_no_network_and_escapes_everything(results: Results) -> None:
    text = build(results)
    page = Page()
    page.feed(text)
    assert page.open == [] and page.loads == []
    assert "script" not in page.count and "link" not in page.count and page.count["svg"] == 2
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    assert "Areas &lt;of&gt; &amp; shapes" in text and "&lt;script&gt;alert(1)" in text
    parts = ["nmpu sweep s.toml --workers 2", "18 of 36 points", "18 failed", "python 3.", results.header["source"]]
    for part in (*parts, "ValueError: no luck with seed 1 &lt;b&gt;", "@media print", "4.20 ± 0.12"):
        assert part in text, part
    identifiers = re.findall(r'\bid="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))


def test_the_same_results_give_the_same_page(folder: Path) -> None:
    assert build(read_results(folder)) == build(read_results(folder))


def test_plots_are_svg_with_error_bars(results: Results) -> None:
    table = tabulate(results)
    for number, plot in enumerate(
        (Plot(x="shape.width", y="area"), Plot(x="cost", y="area"), Plot(x="label", y="area"))
    ):
        root = ElementTree.fromstring(draw(plot, table, number))
        assert root.tag.endswith("svg") and "width" not in root.attrib and "viewBox" in root.attrib
        assert any("LineCollection" in str(element.get("id")) for element in root.iter())
    assert [plot.x for plot in default_plots(table)] == ["shape.width"]
    assert draw(Plot(x="label", y="volume"), table, 1) == ""


def test_pareto_front_by_hand(results: Results) -> None:
    points = [(1.0, 5.0), (2.0, 3.0), (2.0, 4.0), (3.0, 3.0), (4.0, 1.0)]
    names = ("x", "y")
    lines = [
        Line(
            setting={"at": i},
            rows=(),
            estimates=dict(zip(names, (Estimate(mean=value) for value in point), strict=True)),
        )
        for i, point in enumerate(points)
    ]
    without = Line(setting={"at": 9}, rows=(), estimates={"y": Estimate(mean=0.0)})

    def best(x: Better | None, y: Better) -> list[int]:
        measures = (Measure(name=name, title=name, better=better) for name, better in zip(names, (x, y), strict=True))
        return [line.setting["at"] for line in front([without, *reversed(lines)], *measures)]

    assert best(Better.LOWER, Better.LOWER) == [0, 1, 4]
    assert best(Better.LOWER, Better.HIGHER) == [0]
    assert best(None, Better.LOWER) == []
    table = tabulate(results)
    assert front_table(Plot(x="shape.width", y="area"), table) is None  # x is a field
    shown = front_table(Plot(x="cost", y="area"), table)
    assert shown is not None and [m.name for m in shown.measures] == ["cost", "area"] and shown.lines


def test_a_plot_leaves_lines_of_another_chain_out(tmp_path: Path) -> None:
    """A study of two chains, where the dearer one's points would beat all others; on a logarithmic axis."""
    text = """
        task = "trivial_tasks:TRIVIAL"
        [[list]]
        shape.width = [1, 2, 4]
        [[list]]
        shape.width = 1000
        label = "another"
        [[plot]]
        x = "cost"
        y = "area"
        logarithmic_y = true
        without = "label"
    """
    study = parse(text, "s", name="s")
    results = sweep(study, tmp_path)
    table, (plot,) = tabulate(results), study.plots
    assert len(table.lines) == 4
    shown = front_table(plot, table)
    assert shown is not None and all("label" not in line.setting for line in shown.lines)
    drawn = draw(plot, table, 1)
    assert "1000" not in drawn and len(plotted(plot, table).lines) == 3
    assert "lines that set label left out" in build(results)


def test_console_and_json(results: Results, tmp_path: Path) -> None:
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w", encoding="utf-8"))
    print_results(results, tmp_path, console)
    console.file.close()
    text = console.export_text()
    assert "Pareto front: area over cost" in text
    assert "4.20 ± 0.12" in text and "18 of 36 points" in text and "13 more failed; --retry" in text
    plain = document(results)
    assert json.loads(json.dumps(plain)) == plain and len(plain["lines"]) == 6 and len(plain["failures"]) == 18
    assert plain["lines"][0]["measures"]["area"]["mean"] == pytest.approx(1.2)


def test_a_study_of_failures_alone_has_a_page(tmp_path: Path) -> None:
    text = (
        'title = "costs $1 and $"\ntask = "trivial_tasks:TRIVIAL"\n[base]\nfail = true\n[grid]\nshape.width = [1, 2]\n'
    )
    assert "2 failed" in build(sweep(parse(text, "s", name="s"), tmp_path))
