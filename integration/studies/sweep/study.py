"""A study: a task, a base configuration, and the values that some of its fields take."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from golden_model.configuration import unknown
from golden_model.errors import UserError

LIMIT = 100_000
"""Points that a study may have unless the caller allows more."""
SEED = "seed"
"""The field of a configuration that repeats a point; statistics are over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One factor of a study's product."""

    key: str | None
    """The dotted field that varies; None where each value assigns several fields (`[[list]]`)."""
    values: Sequence[Any]
    """What it takes, as TOML gives it."""
    seeds: Sequence[int | None] = ()
    """Of a list: how many of the study's seeds each of its rows takes; None, or nothing: all."""

    def setting(self, value: Any) -> dict[str, Any]:
        """Return one value of the axis as dotted fields and their values."""
        return {self.key: value} if self.key is not None else dict(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot of the report: a line where `x` is a field, a Pareto plot where it is a measure."""

    x: str
    y: str
    """A measure."""
    by: str | None = None
    """The field that tells lines or marks apart; all that vary, unless given."""
    logarithmic: bool = False
    """Whether x is drawn on a logarithmic axis."""
    logarithmic_y: bool = False
    """Whether y is."""
    without: str | None = None
    """A field: lines that set it are left out of the plot and of its front, as those of another chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What to compute: the product of the axes, each point a configuration of the task."""

    name: str
    task: str
    """A task's name, or `package.module:NAME`."""
    title: str = ""
    base: Mapping[str, Any]
    """Fields that all points share, nested as in TOML."""
    axes: tuple[Axis, ...] = ()
    plots: tuple[Plot, ...] = ()
    text: str = ""
    """The study as its author wrote it."""
    quick: bool = False
    """Whether it is the quick form."""
    paper: str = ""
    """The paper that it reproduces, where it is a shipped one."""

    @property
    def size(self) -> int:
        """Return the number of points, equal ones counted apart; nothing is expanded."""
        count = math.prod(len(axis.values) for axis in self.axes)
        if not count or not self.limits:
            return count
        seeds = len(self.axes[0].values)
        rows = sum(seeds if limit is None else min(limit, seeds) for limit in self.limits)
        return count // seeds // len(self.limits) * rows

    @property
    def limits(self) -> Sequence[int | None]:
        """Return how many seeds each row of the list takes; empty where all rows take all."""
        last = self.axes[-1].seeds if self.axes else ()
        return last if any(limit is not None for limit in last) else ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the fields that vary, in the order of the study."""
        keys: dict[str, None] = {}
        for axis in self.axes:
            if axis.key is not None:
                keys[axis.key] = None
            else:
                keys.update(dict.fromkeys(key for row in axis.values for key in row))
        return tuple(keys)

    def check_size(self, limit: int = LIMIT) -> None:
        """Refuse (UserError) a study without points, or with more than `limit`, without expanding it."""
        for axis in self.axes:
            if not len(axis.values):
                raise UserError(f"study {self.name}: no points, {axis.key or 'the list'} has no values; give it some")
        if self.size > limit:
            factors = " x ".join(f"{len(axis.values):,} {axis.key or 'list'}" for axis in self.axes)
            raise UserError(
                f"study {self.name}: {self.size:,} points ({factors}) are more than {limit:,}; "
                "take fewer values, or raise --limit"
            )

    def settings(self) -> Iterator[dict[str, Any]]:
        """Yield each point's fields that vary, the last axis fastest."""
        for values in itertools.product(*(enumerate(axis.values) for axis in self.axes)):
            setting: dict[str, Any] = {}
            for axis, (_, value) in zip(self.axes, values, strict=True):
                setting.update(axis.setting(value))
            limit = self.limits[values[-1][0]] if self.limits else None
            if limit is None or setting[SEED] < limit:
                yield setting


def overlaid(base: Mapping[str, Any], setting: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return nested fields with dotted ones put in: {"a.b": 1} sets b in table a."""
    result = merged(base, {})
    for key, value in setting.items():
        *path, last = key.split(".")
        table = result
        for part in path:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise UserError(f"{where}: {key!r} reaches into {part!r}, which is a value and has no fields")
        table[last] = value
    return result


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables merged: values and lists of `change` replace, tables merge."""
    result = {key: merged(value, {}) if isinstance(value, Mapping) else value for key, value in base.items()}
    for key, value in change.items():
        old = result.get(key, {})
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[key] = merged(old, value) if both else value
    return result


def read(path: Path, *, quick: bool = False, seeds: int | None = None) -> Study:
    """Read a study from a TOML file; `quick` applies its [quick] table, `seeds` overrides its number of seeds.

    Errors: UserError, in one line, for what cannot be read and for unknown keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse(text, str(path), name=path.stem, quick=quick, seeds=seeds)


def parse(text: str, where: str, *, name: str, quick: bool = False, seeds: int | None = None) -> Study:
    """Return the study that a TOML text describes; `where` stands in messages, `name` is its name unless it has one."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where} is not TOML: {error}") from error
    change = _table(document, "quick", where)
    document.pop("quick", None)
    if quick:
        if not change:
            raise UserError(f"{where} has no [quick] table: give the command without --quick")
        document = merged(document, change)
    return _study(document, where, name=name, text=text, quick=quick, seeds=seeds)


def _study(document: dict[str, Any], where: str, *, name: str, text: str, quick: bool, seeds: int | None) -> Study:
    allowed = ("name", "title", "task", "seeds", "base", "grid", "list", "plot", "quick")
    for key in document:
        if key not in allowed:
            raise unknown(key, allowed, where)
    for key in ("name", "title", "task"):
        if not isinstance(document.get(key, ""), str):
            raise UserError(f"{where}: {key} = {document[key]!r}: text is wanted")
    name = document.get("name", name)
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise UserError(f"{where}: name = {name!r}: letters, digits, - and _ are allowed, it becomes a folder")
    count = document.get("seeds") if seeds is None else seeds
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise UserError(f"{where}: seeds = {count!r}: a whole number is wanted, seeds are 0 .. N-1")
    axes = [Axis(key=key, values=values) for key, values in _flat(_table(document, "grid", where), where)]
    if "list" in document:
        rows = document["list"]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UserError(f"{where}: list: write each point as a [[list]] table of fields")
        spread = [(row.get("seeds"), setting) for row in rows for setting in _product(row, where)]
        limits = [limit for limit, _ in spread]
        for limit in limits:
            if limit is not None and (type(limit) is not int or limit < 1 or count is None):
                raise UserError(
                    f"{where}: list: seeds = {limit!r}: a row takes that many of the study's seeds, 1 or more"
                )
        axes.append(Axis(key=None, values=[setting for _, setting in spread], seeds=limits))
    if count is not None:
        axes.insert(0, Axis(key=SEED, values=range(count)))
    seen: set[str] = set()
    for axis in axes:
        keys = {axis.key} if axis.key is not None else {key for row in axis.values for key in row}
        if seen & keys:
            raise UserError(f"{where}: {sorted(map(str, seen & keys))[0]} varies twice (seeds, grid, list); keep one")
        seen |= {str(key) for key in keys}
    study = Study(
        name=name + "-quick" * quick,
        title=document.get("title", ""),
        task=document.get("task", "accuracy"),
        base=_table(document, "base", where),
        axes=tuple(axes),
        plots=_plots(document.get("plot", []), where),
        text=text,
        quick=quick,
    )
    return study


def _table(document: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise UserError(f"{where}: {key} = {table!r}: write it as a table, [{key}]")
    return table


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested tables under dotted keys."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _flat(grid: Mapping[str, Any], where: str) -> Iterator[tuple[str, list[Any]]]:
    for key, values in _leaves(grid):
        if not isinstance(values, list):
            raise UserError(f"{where}: grid: {key} = {values!r}: write a list of values, [{values!r}]")
        yield key, values


def _product(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """Return the points of one row of the list: every combination, where some of its fields have several values."""
    fields = dict(_leaves({key: value for key, value in row.items() if key != "seeds"}))
    for key, value in fields.items():
        if value == []:
            raise UserError(f"{where}: list: {key} = []: a value is wanted, or several")
    several = [value if isinstance(value, list) else [value] for value in fields.values()]
    count = math.prod(map(len, several))
    if count > LIMIT:  # refused before it is expanded, as the product of a grid is
        raise UserError(f"{where}: list: one row makes {count:,} points, more than {LIMIT:,}; use [grid]")
    return [dict(zip(fields, values, strict=True)) for values in itertools.product(*several)]


def _plots(tables: Any, where: str) -> tuple[Plot, ...]:
    fields = {"x": str, "y": str, "by": str, "logarithmic": bool, "logarithmic_y": bool, "without": str}
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UserError(f"{where}: plot: write each plot as a [[plot]] table")
    for table in tables:
        for key, value in table.items():
            if key not in fields:
                raise unknown(key, fields, f"{where}: plot")
            if not isinstance(value, fields[key]):
                raise UserError(f"{where}: plot: {key} = {value!r} is not {'text' if fields[key] is str else 'a bool'}")
        if not {"x", "y"} <= table.keys():
            raise UserError(f"{where}: plot: x and y are wanted, a field or measure and a measure")
    return tuple(Plot(**table) for table in tables)
