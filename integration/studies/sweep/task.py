"""A task: what is computed at one point, what its result depends on, and what the report shows of it."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.util
import json
import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from golden_model.configuration import plain, replaced
from golden_model.errors import UserError
from integration.studies.sweep.study import SEED
from integration.zoo.files import importing_from_here

TASKS = {
    "accuracy": "integration.studies.accuracy:ACCURACY",
    "precision": "integration.studies.precision:PRECISION",
}
"""The tasks that ship, by name."""


class Better(Enum):
    """Which values of a measure a Pareto front prefers."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of a result, as tables and plots show it."""

    name: str
    """Its key in the result."""
    title: str
    unit: str = ""
    digits: int = 2
    """Digits after the point."""
    better: Better | None = None
    """Which values are preferred; None where neither are."""
    brief: bool = True
    """Whether the console shows it too; the report always does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its standard errors; None where there is none to give."""

    mean: float
    error: float | None = None
    """Standard error over seeds."""
    within: float | None = None
    """Standard error of another source, which the task names (accuracy: over images)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A computed point."""

    hash: str
    place: int
    """Its place in the study, from 0."""
    setting: dict[str, Any]
    """The fields that vary and matter to this point."""
    configuration: Any
    """All that decides the result, as plain data."""
    result: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the report's table: points that differ in their seed alone."""

    setting: dict[str, Any]
    rows: tuple[Row, ...]
    estimates: dict[str, Estimate]
    """By measure."""


Summary = Callable[[Sequence[Row], Sequence[Measure]], list[Line]]


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean and standard error of the mean; one value has no error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(mean=statistics.fmean(values), error=error)


def by_setting(rows: Sequence[Row]) -> list[tuple[dict[str, Any], list[Row]]]:
    """Return the points grouped by all that varies but the seed, in the study's order."""
    groups: dict[str, tuple[dict[str, Any], list[Row]]] = {}
    for row in sorted(rows, key=lambda row: row.place):
        setting = {key: value for key, value in row.setting.items() if key != SEED}
        groups.setdefault(json.dumps(setting, sort_keys=True), (setting, []))[1].append(row)
    return list(groups.values())


def over_seeds(rows: Sequence[Row], measures: Sequence[Measure]) -> list[Line]:
    """Return a line a setting: each measure's mean and standard error over the seeds."""
    lines = []
    for setting, group in by_setting(rows):
        estimates = {}
        for measure in measures:
            values = [row.result[measure.name] for row in group if row.result.get(measure.name) is not None]
            if values:
                estimates[measure.name] = estimate(values)
        lines.append(Line(setting=setting, rows=tuple(group), estimates=estimates))
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one point computes. An instance is a value at module level, so that every worker finds it by name."""

    base: Any
    """The configuration whose fields a study replaces: a frozen dataclass."""
    run: Callable[[Any], Mapping[str, Any]]
    """Compute a point: from a configuration to plain data (numbers, text, lists, dictionaries; no NaN)."""
    measures: tuple[Measure, ...]
    """The numbers of a result; the first is the one plotted by default."""
    depends: tuple[str, ...] = ()
    """Packages and modules whose source decides a result, besides the module that the task stands in."""
    releases: tuple[str, ...] = ()
    """Distributions whose release decides a result."""
    configure: Callable[[Mapping[str, Any], str], Any] | None = None
    """From nested fields and a name for messages to a configuration; default: fields of `base` are replaced."""
    content: Callable[[Any], Any] = plain
    """All that decides the result of a configuration, data included, as plain data: the point's identity."""
    share: Callable[[Any], Hashable] = field(default=lambda _: None)
    """Points of one worker that are equal here share work: they are given to it one after another."""
    summary: Summary = over_seeds
    """From points to the lines of the report."""
    note: str = ""
    """What the table's columns mean, one paragraph."""

    def configuration(self, fields: Mapping[str, Any], where: str) -> Any:
        """Return the configuration that nested fields describe; UserError for one that cannot be."""
        return replaced(self.base, fields, where) if self.configure is None else self.configure(fields, where)

    def measure(self, name: str) -> Measure | None:
        """Return a measure by name, None for a name that is none."""
        return next((measure for measure in self.measures if measure.name == name), None)


def find(name: str) -> Task:
    """Return a task by its name or as `package.module:NAME`, looked for in the current folder too; else UserError."""
    place = TASKS.get(name, name)
    module_name, colon, attribute = place.partition(":")
    if not colon:
        near = difflib.get_close_matches(name, TASKS, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"task {name!r} is unknown: {hint}allowed are {', '.join(TASKS)}, or package.module:NAME")
    try:
        with importing_from_here():
            task = getattr(importlib.import_module(module_name), attribute, None)
    except Exception as error:
        raise UserError(f"task {name!r}: importing {module_name!r} failed ({type(error).__name__}: {error})") from error
    if not isinstance(task, Task):
        raise UserError(f"task {name!r}: {module_name!r} has no Task named {attribute!r}")
    return task


def source_hash(modules: Sequence[str]) -> str:
    """Return a hash of the Python source of packages (all modules below) and modules, whatever its line endings."""
    digest = hashlib.sha256()
    for name in sorted(set(modules)):
        try:
            with importing_from_here():
                spec = importlib.util.find_spec(name)
        except ImportError:
            spec = None
        if spec is None or spec.origin is None:
            raise UserError(f"the source of {name} is not found, and results depend on it")
        origin = Path(spec.origin)
        folder = origin.parent if spec.submodule_search_locations else None
        for path in sorted(folder.rglob("*.py")) if folder else [origin]:
            digest.update(f"{name}/{path.relative_to(folder or origin.parent).as_posix()}\n".encode())
            digest.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\n")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Which code a result is of: what two workers, or two days, must agree on to share results."""

    task: str
    source: str
    """Hash of the source text that the task depends on."""
    releases: dict[str, str]

    def hash(self, content: Any) -> str:
        """Return the name of a result: a hash of this code and of all that else decides it; 32 hex digits."""
        parts = {"task": self.task, "source": self.source, "releases": self.releases, "content": content}
        text = json.dumps(parts, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@functools.cache
def code_of(name: str) -> Code:
    """Return the code of a task, as it stands in this process."""
    task = find(name)
    module = TASKS.get(name, name).partition(":")[0]
    return Code(
        task=name,
        source=source_hash([module, *task.depends]),
        releases={release: version(release) for release in sorted(task.releases)},
    )
