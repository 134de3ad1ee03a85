"""The shipped papers: committed results regenerate, and each figure stands beside its own line."""

import json
import os
from pathlib import Path

import pytest

from golden_model.errors import UserError
from integration.studies.evaluate import unpack
from integration.studies.reproduce.nmpu import NMPU
from integration.studies.reproduce.paper import Figure, find, verdict
from integration.studies.sweep.engine import expand, sweep
from integration.studies.sweep.store import Results, read_results
from integration.studies.sweep.study import parse
from integration.studies.sweep.task import Estimate, Row, code_of
from integration.studies.sweep.task import find as find_task

pytestmark = pytest.mark.whole

COMMITTED = Path(__file__).parents[3] / "docs" / "results"


def by_setting(results: Results) -> dict[str, Row]:
    return {json.dumps(row.setting, sort_keys=True): row for row in results.rows}


def drifted(old: Row, new: Row) -> list[str]:
    """Return what differs. Rows of the tile: every image, every count. FP32 logits are rounded as the processor likes:
    one image on the edge may turn over. The layers' error is a sum of float64 in the processor's order."""
    a, b = dict(old.result), dict(new.result)
    if old.setting["digital"] == "fp32":
        return ["images"] if (unpack(a) != unpack(b)).sum() > 1 else []
    close = [k for k in ("error", "saturated") if a.pop(k) != pytest.approx(b.pop(k), rel=1e-3, abs=1e-3)]
    return close + [key for key in a.keys() | b.keys() if a.get(key) != b.get(key)]


def test_the_quick_form_has_not_drifted(tmp_path: Path) -> None:
    """A change that moves one image of the committed file says so here. Mend the change, or regenerate the file:

    nmpu reproduce nmpu --quick -o DIR, then copy results.jsonl and runs.jsonl to docs/results/nmpu-quick.
    """
    old, new = by_setting(read_results(COMMITTED / "nmpu-quick")), by_setting(sweep(NMPU.read(quick=True), tmp_path))
    assert old.keys() == new.keys() and len(old) == 11
    assert {key: drifted(old[key], new[key]) for key in old} == {key: [] for key in old}
    comparison = NMPU.compare(read_results(tmp_path))
    assert all(theirs == "" for _, theirs, ours, _ in comparison.rows if ours != "not run")


def test_the_full_form_is_that_of_this_study() -> None:
    """The committed file answers the shipped study, all of it, and its page can be built; its bits: the slow test."""
    results = read_results(COMMITTED / "nmpu")
    assert results.header["text"] == NMPU.read().text and not results.failures
    assert len(results.rows) == results.header["points"] == 192
    task = find_task("accuracy")
    points = expand(NMPU.read(), task, code_of("accuracy"))
    assert {json.dumps(p.setting, sort_keys=True) for p in points} == by_setting(results).keys()
    rows = {what: (theirs, ours, remark) for what, theirs, ours, remark in NMPU.compare(results).rows}
    assert not any(ours in ("", "failed") for _, ours, _ in rows.values())
    theirs, _, remark = rows["ResNet9, CIFAR-10: its drop against FP16, points"]
    assert theirs == "0.12" and "bound 0.12" in remark
    assert rows["ResNet9, CIFAR-10: drop with UQ(1,3) scales, the negative control"][2].startswith("hurts")
    theirs, _, remark = rows["ResNet32, CIFAR-100: its drop against FP16, points"]
    assert theirs == "0.40" and "bound 0.4" in remark


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif("NMPU_DATA" not in os.environ, reason="NMPU_DATA names no folder")
def test_the_full_form_has_not_drifted(tmp_path: Path) -> None:
    """Seed 0 with the NMPU, 10,000 images, against the committed file."""
    old = by_setting(read_results(COMMITTED / "nmpu"))
    text = """
        seeds = 1
        [[list]]
        preset = "hermes"
        network = "resnet9s"
        dataset = "cifar10"
        checkpoint = "resnet9s_cifar10_hermes"
        digital = "nmpu"
    """
    (row,) = sweep(parse(text, "one seed", name="s"), tmp_path).rows
    del row.setting["preset"]
    assert drifted(old[json.dumps(row.setting, sort_keys=True)], row) == []


def test_verdicts_by_hand() -> None:
    bound = Figure(what="", setting={}, measure="drop", bound=0.12)
    assert verdict(bound, Estimate(mean=0.02, error=0.05)) == "holds: with 1.64 SE 0.10, bound 0.12"
    assert verdict(bound, Estimate(mean=0.05, error=0.05)).startswith("does not hold")
    assert verdict(bound, Estimate(mean=0.02)).startswith("one seed") and verdict(bound, None) == ""
    control = Figure(what="", setting={}, measure="drop", above=1.0)
    assert verdict(control, Estimate(mean=3.0, error=0.5)) == "hurts: less 1.64 SE 2.18"
    assert verdict(control, Estimate(mean=1.5, error=0.5)).startswith("does not hurt")
    level = Figure(what="", setting={}, measure="accuracy", least=86.77)
    assert verdict(level, Estimate(mean=87.0, error=0.1)) == "holds: less 1.64 SE 86.84, at least 86.77"
    assert verdict(level, Estimate(mean=86.9, error=0.1)).startswith("does not hold")
    assert level.under("net").what == "net: " and level.under("net").least == 86.77


def test_an_unknown_paper() -> None:
    with pytest.raises(UserError, match="paper 'nmpv' is unknown: there are nmpu"):
        find("nmpv")
