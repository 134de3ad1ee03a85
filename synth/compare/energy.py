"""Energy of the compared units: what they are driven with, and what the golden model says of it.

The trace is that of a network: counts, partial sums and residuals of one layer that uses all that both units do, for
each unit what it really receives there (`trace.json` says where it comes from). Words run through all columns of the
layer, as they do in either unit. The mapped units store one column a lane, so that parameters stand still, in both:
reading other columns' parameters takes no energy here, nor does the storage of the other columns.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.fp16_unit import Fp16Columns, Fp16Config, fp16_unit
from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Layer, NmpuConfig
from synth.compare.candidates import COLUMNS, Candidate
from synth.compiled.harness import Field, Harness
from synth.liberty import Library
from synth.power import energy
from synth.power.cells import Tables
from synth.power.energy import Power
from synth.power.simulate import Stimulus

Integers = NDArray[np.int64]
WARM = 2 * COLUMNS
"""Data points in front of the window."""
WINDOW = 4 * COLUMNS
"""Data points in the window."""
RUNS = 4
"""Runs of a unit of one lane, each with another column's parameters and another part of the trace."""
_STRIDE = 5
"""From one lane's column of the trace to the next one's: no divisor of their number, so that many lanes take all."""


@cache
def trace() -> dict[str, Any]:
    """Return the trace: by unit its layer registers, columns and words."""
    told: dict[str, Any] = json.loads((Path(__file__).parent / "trace.json").read_text(encoding="utf-8"))
    return told


@cache
def _uniform() -> dict[str, Integers]:
    """Return 12-bit counts without a pattern, as many as the trace has."""
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 1 << 12, WARM + WINDOW) for name in ("first", "second")}


def runs(candidate: Candidate) -> int:
    """Return the runs of a unit: the columns whose parameters are asked are at least RUNS."""
    return RUNS if candidate.lanes == 1 else 1


def stimulus(candidate: Candidate, run: int = 0, *, stored: int = 1, uniform: bool = False) -> Stimulus:
    """Return what the unit that stores some columns a lane is driven with in one run, and what must leave.

    `uniform`: counts drawn from all that a count can be, the same for both units, in place of the network's.
    """
    config, own = replace(candidate.config, columns=stored), trace()[candidate.unit]
    given = own["words"] | (_uniform() if uniform else {})
    lanes, share = candidate.lanes, (WARM + WINDOW) // runs(candidate)
    chosen = _STRIDE * (np.arange(lanes * stored) + run) % len(own["columns"]["scale_p"])
    columns = {name: np.array(values, np.int64)[chosen] for name, values in own["columns"].items()}
    part = slice(run * share, (run + 1) * share)
    vectors = {name: np.array(values, np.int64)[part].reshape(-1, len(chosen)) for name, values in given.items()}
    results = _golden(config, columns, own["layer"], vectors)
    of = Harness(candidate.unit, config).fields
    layer = {name: np.array([[value]], np.int64) for name, value in own["layer"].items()}
    return Stimulus(
        parameters=_packed(of["write"], {name: values[:, None] for name, values in columns.items()}),
        layer=_packed(of["layer"], layer)[0],
        words=_packed(of["i"], {name: values.reshape(-1, lanes) for name, values in vectors.items()}),
        expected=_packed(of["o"], {name: values.reshape(-1, lanes) for name, values in results.items()}),
        warm=WARM // runs(candidate) // lanes,
        window=WINDOW // runs(candidate) // lanes,
    )


def _golden(
    config: NmpuConfig | Fp16Config,
    columns: Mapping[str, Integers],
    layer: Mapping[str, int],
    words: dict[str, Integers],
) -> dict[str, Integers]:
    """Return what the golden model says leaves, by field of the output; codes only, since the tile is a last one."""
    if isinstance(config, NmpuConfig):
        relu = Layer(relu_before=bool(layer["relu_before"]), relu_after=bool(layer["relu_after"]))
        given = Columns(**columns)
        code = nmpu(
            config, given, relu, words["first"], words["second"], received=words["received"], residual=words["residual"]
        ).values
        return {"code": np.asarray(code, np.int64), "sum": np.zeros_like(words["first"])}
    halves = {name: values.astype(np.uint16).view(np.float16) for name, values in columns.items()}
    code = fp16_unit(
        config,
        Fp16Columns(**halves),
        words["first"],
        words["second"],
        received=words["received"].astype(np.uint16).view(np.float16),
        residual=words["residual"],
        relu_before=bool(layer["relu_before"]),
        relu_after=bool(layer["relu_after"]),
    ).values
    return {"code": np.asarray(code, np.int64), "half": np.zeros_like(words["first"])}


def _packed(layout: Sequence[Field], values: Mapping[str, Integers]) -> list[str]:
    """Return one hexadecimal number a row of (rows, lanes) arrays by field, lane 0 and the first field lowest."""
    rows = []
    lanes = next(iter(values.values())).shape[1]
    digits = -(-lanes * sum(field.bits for field in layout) // 4)
    for row in range(len(next(iter(values.values())))):
        word = place = 0
        for lane in range(lanes):
            for field in layout:
                word |= (int(values[field.name][row, lane]) & ((1 << field.bits) - 1)) << place
                place += field.bits
        rows.append(f"{word:0{digits}x}")
    return rows


def measure(
    candidate: Candidate,
    module: Any,
    library: Library,
    energies: Tables,
    *,
    stored: int = 1,
    uniform: bool = False,
) -> Power:
    """Return the energy a cycle of a mapped unit (Yosys' JSON of its module), the mean of its runs.

    `stored`: the columns a lane whose parameters the mapped unit keeps. `uniform`: as for `stimulus`.

    Raises UserError where Icarus Verilog is missing, RuntimeError where the netlist is not the golden model.
    """
    found = []
    for run in range(runs(candidate)):
        with tempfile.TemporaryDirectory(prefix="nmpu-power-") as scratch:
            given = stimulus(candidate, run, stored=stored, uniform=uniform)
            found.append(energy.measure(module, candidate.unit, library, given, Path(scratch), energies=energies))
    return mean(found)


def mean(found: Sequence[Power]) -> Power:
    """Return the mean of several runs; cycles and words are summed."""

    def of(name: str) -> Any:
        values = [getattr(power, name) for power in found]
        if name in ("cycles", "words"):
            return sum(values)
        return values[0] if values[0] is None or name == "without_table" else sum(values) / len(values)

    return Power(**{field.name: of(field.name) for field in fields(Power)})
