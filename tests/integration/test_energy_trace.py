"""The trace that energy is measured with is what `nmpu evaluate --export` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import NmpuConfig
from integration.cli import main
from synth.compare.energy import trace
from synth.compiled.harness import Field, Harness

pytestmark = pytest.mark.whole

LANES, COLUMNS, STEP = 64, 56, 9
"""Columns lie side by side, every 64, and 56 of them are the layer's."""


def unpacked(fields: tuple[Field, ...], word: int) -> dict[str, int]:
    found = {}
    for field in fields:
        value = word & ((1 << field.bits) - 1)
        found[field.name] = value - ((value >> (field.bits - 1)) << field.bits if field.signed else 0)
        word >>= field.bits
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "config"), [("nmpu", NmpuConfig()), ("fp16_unit", Fp16Config())])
def test_the_trace_is_what_the_network_exports(unit: str, config: Any, tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    name = {"nmpu": "nmpu", "fp16_unit": "fp16"}[unit]
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--images", "8", "--export", str(folder), "--digital", name])
    assert not stopped.value.code
    of, told = Harness(unit, config).fields, trace()[unit]

    def words(kind: str) -> list[int]:
        return [int(line, 16) for line in (folder / f"step{STEP}_{kind}.hex").read_text().split()]

    parameters = [unpacked(of["write"], word) for word in words("parameters")][:COLUMNS]
    assert told["columns"] == {key: [row[key] for row in parameters] for key in parameters[0]}
    assert told["layer"] == unpacked(of["layer"], words("layer")[0])
    width = sum(field.bits for field in of["i"])
    lanes = [word >> (width * lane) for word in words("inputs") for lane in range(config.units)]
    points = [unpacked(of["i"], word) for at, word in enumerate(lanes) if at % LANES < COLUMNS]
    kept = len(told["words"]["first"])
    assert told["words"] == {key: [row[key] for row in points[:kept]] for key in points[0]}
