"""What a paper claims, how our study answers it, and what we have not run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from golden_model.errors import UserError
from integration.studies.report.table import Comparison, cell, tabulate
from integration.studies.sweep.store import Results
from integration.studies.sweep.study import Study, parse
from integration.studies.sweep.task import Estimate

ONE_SIDED = 1.64
"""Standard errors that a bounded figure keeps from its bound: one-sided 95 % of a normal distribution; of Student's
94 % with 16 seeds, 90 % with 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of the paper and the line and measure of our study that stand beside it."""

    what: str
    setting: Mapping[str, Any]
    """The fields that name the line."""
    measure: str
    paper: float | None = None
    """The paper's figure; None where it has none, and ours stands alone."""
    bound: float | None = None
    """What ours must stay below, with `ONE_SIDED` standard errors; negative controls have `above`."""
    above: float | None = None
    """What ours must stay above, likewise."""
    least: float | None = None
    """What ours must reach, likewise."""
    remark: str = ""

    def under(self, heading: str) -> Figure:
        """Return the figure named under a heading."""
        return replace(self, what=f"{heading}: {self.what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """A figure of the paper that we do not reproduce, and why."""

    what: str
    paper: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A shipped study and the figures that it answers."""

    name: str
    citation: str
    study: str
    """File of the study, beside this module."""
    figures: tuple[Figure, ...]
    quick_figures: tuple[Figure, ...]
    """Those of the quick form."""
    not_run: tuple[NotRun, ...] = ()

    def read(self, *, quick: bool = False, seeds: int | None = None) -> Study:
        """Return the study."""
        text = resources.files(__package__).joinpath(self.study).read_text(encoding="utf-8")
        study = parse(text, self.study, name=self.name, quick=quick, seeds=seeds)
        return replace(study, paper=self.name)

    def compare(self, results: Results) -> Comparison:
        """Return ours beside the paper's; the quick form stands alone, since it answers none of the paper's figures.

        Errors: UserError where the study has no line of a figure, or several.
        """
        table = tabulate(results)
        quick = bool(results.header["quick"])
        rows = []
        for figure in self.quick_figures if quick else self.figures:
            lines = [line for line in table.lines if line.setting == dict(figure.setting)]
            if len(lines) > 1:
                raise UserError(f"{self.study}: {len(lines)} lines answer {figure.what!r}; name one")
            estimate = lines[0].estimates.get(figure.measure) if lines else None
            measure = table.task.measure(figure.measure)
            if measure is None:
                raise UserError(f"{self.study}: {figure.measure!r} is no measure of {results.header['task']}")
            theirs = "" if figure.paper is None or quick else f"{figure.paper:.{measure.digits}f}"
            remark = figure.remark if quick else ", ".join(filter(None, (verdict(figure, estimate), figure.remark)))
            rows.append((figure.what, theirs, cell(estimate, measure) or "failed", remark))
        rows += [(entry.what, entry.paper, "not run", entry.why) for entry in self.not_run]
        return Comparison(source=self.citation, rows=tuple(rows))


def verdict(figure: Figure, estimate: Estimate | None) -> str:
    """Return whether ours keeps its bound, by how much; empty where there is none."""
    if estimate is None or (figure.bound is None and figure.above is None and figure.least is None):
        return ""
    if estimate.error is None or not math.isfinite(estimate.error):
        return "one seed: no standard error, no verdict"
    margin = ONE_SIDED * estimate.error
    if figure.bound is not None:
        at = estimate.mean + margin
        return (
            f"{'holds' if at < figure.bound else 'does not hold'}: with {ONE_SIDED} SE {at:.2f}, bound {figure.bound}"
        )
    at = estimate.mean - margin
    if figure.least is not None:
        word = "holds" if at >= figure.least else "does not hold"
        return f"{word}: less {ONE_SIDED} SE {at:.2f}, at least {figure.least}"
    return f"{'hurts' if at > (figure.above or 0.0) else 'does not hurt'}: less {ONE_SIDED} SE {at:.2f}"


def find(name: str) -> Paper:
    """Return a paper by name; UserError for one that has no module here."""
    from integration.studies.reproduce.nmpu import NMPU

    papers = {paper.name: paper for paper in (NMPU,)}
    if name not in papers:
        raise UserError(f"paper {name!r} is unknown: there are {', '.join(papers)}, hcim")
    return papers[name]
