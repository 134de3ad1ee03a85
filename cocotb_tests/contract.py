"""What a unit supplies so that the benches can judge it; everything else in this package works for any unit.

A unit speaks integers by field name: what its parameter store and layer registers hold, what is streamed in, and what
its golden model says must come out. `cocotb_tests.units` lists the units that have such a contract.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cocotb_tests.ports import Integers, Ports
from golden_model.errors import UserError
from synth.mutation import Part

Mask: TypeAlias = NDArray[np.bool_]
Words: TypeAlias = Mapping[str, Integers]
"""Operands of whole vectors by field of the input stream, arrays (vectors, units * columns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One configuration of a unit and how much of it the regression runs."""

    name: str
    """Name, as in `pytest -k NAME` and in the printed table."""
    config: Any
    """What is built."""
    words: int = 1000
    """Random words, behind the corners."""
    corners: int | None = None
    """Largest number of corner batches; None for all of them (every mode, every corner value)."""
    quick: bool = False
    """Whether `nmpu verify --quick` runs it, with fewer words."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stimulus:
    """Vectors under one set of parameters."""

    columns: Mapping[str, Integers]
    """What the parameter store holds, by field, one entry a column; fields that the unit lacks are ignored."""
    layer: Mapping[str, int]
    """What the layer registers hold, by field; fields that the unit lacks are ignored."""
    words: Words
    """What is streamed."""

    @property
    def vectors(self) -> int:
        """Return the number of whole vectors."""
        return len(next(iter(self.words.values())))


class Answer(NamedTuple):
    """What the golden model says of a stimulus."""

    fields: Mapping[str, Integers]
    """The output words, by field, arrays (vectors, units * columns)."""
    flagged: Mask
    """Which elements raise their column's flag, the same shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a test plan."""

    feature: str
    """What is tested."""
    corner: str
    """The corner that must be met."""
    bins: tuple[str, ...]
    """Names that the unit's coverage or the testbench counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A fault at the ports: what is driven instead of a signal."""

    name: str
    """What is wrong."""
    inputs: tuple[tuple[str, str], ...] = ()
    """Input of the sound unit, and the expression that it gets instead of the port."""
    outputs: tuple[tuple[str, str], ...] = ()
    """Output port, and the expression that it gets; `X_s` is the sound unit's output X."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misread:
    """A fault in the specification: functions of the golden model replaced by wrong ones."""

    name: str
    """What is wrong."""
    case: str
    """The configuration that must show it."""
    module: ModuleType
    """The part of the golden model in which it is."""
    replaced: Mapping[str, Callable[..., Any]]
    """By the name that the golden model looks up in `module`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A configuration that gets faults, how many a class, and how long the benches are."""

    case: str
    """Name of the case."""
    quotas: Mapping[Part, int]
    """Faults of each class."""
    short: tuple[int, int] = (120, 8)
    """Random words and corner batches of the bench that every fault meets."""
    long: tuple[int, int] = (4000, 96)
    """Random words and corner batches of the bench for what is left."""

    def times(self, factor: int) -> Target:
        """Return the target with every quota multiplied."""
        return replace(self, quotas={part: factor * quota for part, quota in self.quotas.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a unit supplies. Its Verilog comes from `synth.verilog` under the same name."""

    unit: str
    """Name in `synth.registry` and of the Verilog module."""
    cases: tuple[Case, ...]
    """The regression."""
    extra: tuple[Case, ...]
    """Configurations for faults and for the speed measurement alone."""
    traced: str
    """The case that `--waves` shows where nothing failed."""
    measured: tuple[str, ...]
    """The cases whose speed is measured."""
    ports: Callable[[Any], Ports]
    """Configuration -> the bits of its ports, from the configuration alone."""
    random: Callable[[Any, np.random.Generator, int], Stimulus]
    """Configuration, generator, vectors -> random vectors under random parameters."""
    words: Callable[[Any, np.random.Generator, int], Words]
    """The same for the words alone."""
    corners: Callable[[Any, np.random.Generator, int | None], Iterator[Stimulus]]
    """Configuration, generator, limit -> directed batches."""
    answer: Callable[[Any, Stimulus], Answer]
    """What the golden model says."""
    count: Callable[[Any, Stimulus], Counter[str]]
    """How many elements fall in each cover bin, from golden intermediates."""
    points: tuple[Point, ...]
    """The test plan, `cocotb_tests.frame.POINTS` included."""
    misreadings: tuple[Misread, ...]
    """What an engineer might read wrong in the specification."""
    planted: str
    """The case that gets faults at its ports."""
    faults: Callable[[Any], list[Planted]]
    """Configuration -> the faults at its ports, those of `cocotb_tests.planted.frame_faults` included."""
    targets: tuple[Target, ...]
    """What gets drawn faults."""
    totals: Callable[[Any, Stimulus], Mapping[str, int]] | None = None
    """What the activity counters of a unit that has some gain over whole vectors."""

    def case(self, name: str) -> Case:
        """Return the case of a name."""
        for entry in (*self.cases, *self.extra):
            if entry.name == name:
                return entry
        raise UserError(f"{self.unit} has no configuration {name!r}")

    def unmet(self, bins: Mapping[str, int]) -> list[Point]:
        """Return the points of the plan of which a bin was never counted."""
        return [point for point in self.points if not all(bins.get(name, 0) for name in point.bins)]
