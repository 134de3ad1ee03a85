"""The task `accuracy`: the same rows as `nmpu evaluate`, what names a point, and paired drops."""

import os
from pathlib import Path

import numpy as np
import pytest

from golden_model.errors import UserError
from golden_model.nmpu_config import Input
from integration.mapping.calibrated import Calibration
from integration.studies import accuracy
from integration.studies.accuracy import ACCURACY, Accuracy, Unit, content, parameter_bits, share, summary
from integration.studies.evaluate import evaluate, pack, unpack
from integration.studies.sweep.engine import expand, sweep
from integration.studies.sweep.processes import Processes
from integration.studies.sweep.study import parse
from integration.studies.sweep.task import Row, code_of
from integration.zoo import checkpoint, datasets
from sim.presets import preset

pytestmark = pytest.mark.whole

SMALL = """
task = "accuracy"
seeds = 2
[base]
images = 30
calibration.images = 8
[grid]
digital = ["fp32", "float", "fp16", "nmpu"]
"""


def test_a_sweep_gives_the_bits_of_an_evaluation(tmp_path: Path) -> None:
    """Two processes, each its own chain, against `evaluate` on both seeds: every image agrees."""
    results = sweep(parse(SMALL, "s", name="s"), tmp_path, executor=Processes(workers=2))
    assert not results.failures and len(results.rows) == 7  # FP32 has no seed
    path = checkpoint.shipped("resnet9s", "digits")
    assert path is not None
    model, card = checkpoint.restore(path)
    train, test = datasets.load("digits", None, "train"), datasets.load("digits", None, "test").first(30)
    normalised = [datasets.normalise(split.images[:30], card.mean, card.std) for split in (train, test)]
    few = Calibration(images=8)
    table = evaluate(
        model, preset("hermes"), *normalised, test.labels, seeds=(0, 1), calibration=few, compiled=False
    )  # fmt: skip
    found = {(r.setting["digital"], r.setting.get("seed")): r.result for r in results.rows}
    assert np.array_equal(unpack(found["fp32", None]), table.fp32.correct[0])
    for name, row in (("float", "float"), ("fp16", "FP16"), ("nmpu", "NMPU")):
        for seed in (0, 1):
            result = found[name, seed]
            assert np.array_equal(unpack(result), table.row(row).correct[seed]), (name, seed)
            assert result["right"] == table.row(row).correct[seed].sum() and result["images"] == 30
    lines = {line.setting["digital"]: line.estimates for line in summary(results.rows, ACCURACY.measures)}
    drops = table.drops()
    for name, row in (("float", "float"), ("nmpu", "NMPU")):
        drop = lines[name]["drop"]
        assert (drop.mean, drop.error, drop.within) == (drops[row].mean, drops[row].over_seeds, drops[row].over_images)
        assert lines[name]["worse"].mean == drops[row].worse and lines[name]["better"].mean == drops[row].better
    assert "drop" not in lines["fp16"] and "drop" not in lines["fp32"]
    assert 0 < lines["nmpu"]["error"].mean < 5 and lines["nmpu"]["clipped"].mean >= 0


def test_fields_that_do_not_reach_a_result_do_not_name_it() -> None:
    def same(a: dict[str, object], b: dict[str, object]) -> bool:
        return bool(content(ACCURACY.configuration(a, "t")) == content(ACCURACY.configuration(b, "t")))

    assert same({"digital": "fp16"}, {"digital": "fp16", "nmpu": {"scale": "UQ(1,3)"}})
    assert same({"digital": "fp32"}, {"digital": "fp32", "seed": 3, "tile": {"array": {"read_noise": False}}})
    assert same({"images": 450}, {}) and same({"images": 10_000}, {})
    for change in (
        {"seed": 1}, {"images": 20}, {"nmpu": {"guard": 3}}, {"tile": {"readout": {"full_scale": 255}}},
        {"calibration": {"images": 64}}, {"digital": "float"}, {"network": "resnet9s", "dataset": "cifar10"},
    ):  # fmt: skip
        assert not same({}, change), change


def test_another_units_formats_make_one_baseline() -> None:
    study = parse(SMALL + 'nmpu.scale = ["UQ(1,7)", "UQ(1,5)", "UQ(1,3)"]\n', "s", name="s")
    points = expand(study, ACCURACY, code_of("accuracy"))
    assert study.size == 24 and len(points) == 1 + 2 * (1 + 1 + 3)
    assert sorted(p.setting.keys() for p in points if p.setting["digital"] == "fp16") == [{"seed", "digital"}] * 2
    assert len({p.share for p in points if p.setting["digital"] != "fp32"}) == 2


def test_units_follow_the_tiles_converter() -> None:
    point = ACCURACY.configuration(
        {"tile": {"readout": {"output": "code", "full_scale": 8000}}, "nmpu": {"guard": 3}}, "t"
    )
    assert (point.nmpu.input, point.nmpu.input_bits, point.nmpu.guard) == (Input.CODE, 14, 3)
    assert ACCURACY.configuration({"digital": "fp16"}, "t").fp16.input is Input.COUNTS
    assert share(point) == share(
        ACCURACY.configuration({"tile": {"readout": {"output": "code", "full_scale": 8000}}}, "t")
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"digital": "fp8"}, "allowed are fp32, float, fp16, nmpu"),
        ({"tile": {"readout": {"full_scael": 3}}}, "did you mean full_scale"),
        ({"nmpu": {"guard": 9}}, "allowed are 0 to 7"),
        ({"preset": "hermse"}, "did you mean hermes"),
        ({"images": 0}, "at least 1"),
        ({"seed": -1}, "0 or more"),
        ({"dataset": "digit"}, "digits"),
        ({"network": "resnet9"}, "resnet9s"),
        ({"network": "resnet20"}, "no checkpoint of resnet20 on digits is shipped"),
        ({"checkpoint": "none.npz"}, "none.npz does not exist"),
    ],
)
def test_mistakes(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        content(ACCURACY.configuration(fields, "t"))


def test_a_checkpoint_is_named_by_its_content(tmp_path: Path) -> None:
    shipped = checkpoint.shipped("resnet9s", "digits")
    assert shipped is not None
    copy = tmp_path / "copy.npz"
    copy.write_bytes(shipped.read_bytes())
    assert content(Accuracy(checkpoint=str(copy))) == content(Accuracy())
    copy.with_suffix(".json").write_text(shipped.with_suffix(".json").read_text().replace("0.3057", "0.25"))
    assert content(Accuracy(checkpoint=str(copy))) != content(Accuracy())  # another normalisation
    copy.with_suffix(".json").unlink()
    copy.write_bytes(b"other")
    os.utime(copy, ns=(1, 1))
    assert content(Accuracy(checkpoint=str(copy)))["checkpoint"] != content(Accuracy())["checkpoint"]


def test_a_readers_factory_is_named_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # found where training finds it
    (tmp_path / "swept_net.py").write_text("def make(): ...\n")
    first = content(Accuracy(network="swept_net:make"))["network_source"]
    (tmp_path / "swept_net.py").write_text("def make(): pass\n")
    assert content(Accuracy(network="swept_net:make"))["network_source"] != first is not None
    with pytest.raises(UserError, match=r"the source of nowhere.at_all is not found"):
        content(Accuracy(network="nowhere.at_all:make"))


def test_bits_of_parameters_by_hand() -> None:
    assert parameter_bits(Accuracy(digital=Unit.FP16)) == 80 and parameter_bits(Accuracy(digital=Unit.FLOAT)) is None
    assert parameter_bits(Accuracy()) == 8 + 8 + 8 + 1
    assert (
        parameter_bits(ACCURACY.configuration({"nmpu": {"scale": "UQ(1,5)", "max_column_shift": 7}}, "t"))
        == 6 + 6 + 8 + 1 + 3
    )
    assert parameter_bits(ACCURACY.configuration({"nmpu": {"batch_norm": True}}, "t")) == 25 + 8 + 8 + 1 + 3


def test_drops_need_one_baseline_on_the_same_chain() -> None:
    def row(kind: str, seed: int, right: list[int], **unit: object) -> Row:
        configuration = {"seed": seed, "unit": {"kind": kind, "int8": False, **unit}}
        result = {"accuracy": 100.0 * sum(right) / len(right), **pack(np.array(right, bool))}
        setting = {"seed": seed, "digital": kind, **unit}
        return Row(hash=f"{kind}{seed}{unit}", place=seed, setting=setting, configuration=configuration, result=result)

    rows = [row("fp16", 0, [1, 1, 0, 0]), row("nmpu", 0, [1, 0, 1, 0])]
    line = summary(rows, ACCURACY.measures)[1]
    assert line.estimates["drop"].mean == 0.0 and line.estimates["worse"].mean == line.estimates["better"].mean == 1
    assert line.estimates["drop"].error is None and line.estimates["drop"].within is not None
    rows.append(row("nmpu", 1, [1, 1, 1, 1]))  # a seed without a baseline: no drop rather than half of one
    assert "drop" not in summary(rows, ACCURACY.measures)[1].estimates
    two = [*rows[:2], row("fp16", 0, [0, 0, 0, 0], int8=True)]
    assert accuracy.baselines(two)[accuracy._on(two[0])] is two[0]
    assert accuracy.baselines([*two, row("fp16", 0, [1, 1, 1, 1], columns=3)]) == {}
