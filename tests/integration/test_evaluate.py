"""The accuracy table: paired statistics, an interruption that loses nothing, a control that hurts."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import MeanHead, seeded

from golden_model.errors import UserError
from golden_model.fixed import UQ
from golden_model.nmpu_config import NmpuConfig
from integration.mapping.network import UNITS
from integration.mapping.quantise import Clips
from integration.studies.evaluate import Evaluation, Journal, Kept, Row, drop, evaluate
from integration.zoo import checkpoint, datasets
from sim.digital import Fp16Unit, NmpuUnit
from sim.presets import preset

pytestmark = pytest.mark.whole


def test_drop_by_hand() -> None:
    base = Row(name="FP16", correct=[np.array([1, 1, 1, 0], bool), np.array([1, 1, 0, 0], bool)])
    row = Row(name="NMPU", correct=[np.array([1, 0, 1, 0], bool), np.array([1, 1, 0, 1], bool)])
    result = drop(base, row)
    assert result.mean == 0.0 and (result.worse, result.better) == (1, 1)
    assert result.over_seeds == pytest.approx(np.std([25, -25], ddof=1) / math.sqrt(2))
    assert result.over_images == pytest.approx(100 * np.std([0, 0.5, 0, -0.5], ddof=1) / 2)
    one = drop(Row(name="a", correct=base.correct[:1]), Row(name="b", correct=row.correct[:1]))
    assert one.mean == 25.0 and math.isnan(one.over_seeds)


def small(**options: object) -> Evaluation:
    images = torch.randn(40, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(40) % 10
    return evaluate(seeded(MeanHead), preset("hermes"), images[:16], images, labels, compiled=False, **options)  # type: ignore[arg-type]  # any options


def test_the_batch_changes_no_result() -> None:
    tables = [small(seeds=(0, 1), batch=batch).summary()["rows"] for batch in (3, 40)]
    for table in tables:
        for row in table:
            row.pop("seconds")
    assert tables[0] == tables[1]
    assert [row["name"] for row in tables[0]] == ["FP32", "float", "FP16", "NMPU"]
    assert len(tables[0][1]["accuracies"]) == 2 and "drop" not in tables[0][2]


def test_an_interrupted_evaluation_goes_on(tmp_path: Path) -> None:
    """Stopped in the middle of the second seed: nothing finished is computed again, and the table is the same."""
    whole = small(seeds=(0, 1))
    path = tmp_path / "r.json.partial"

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "seed 1: analog + FP16" and done % 40:
            raise Stopped

    with pytest.raises(Stopped):
        small(seeds=(0, 1), batch=7, progress=stop, journal=Journal(path, "key"))
    journal = Journal(path, "key")
    assert sorted(journal.entries) == ["0 FP16", "0 NMPU", "0 float", "1 float"]
    told: list[str] = []
    resumed = small(seeds=(0, 1), journal=journal, progress=lambda what, *_: told.append(what))
    assert "seed 0: analog + FP16" not in told and "seed 1: analog + FP16" in told
    for a, b in zip(whole.rows, resumed.rows, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a.correct, b.correct, strict=True)) and a.clips == b.clips


def test_a_journal_of_another_evaluation_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal(path, "one").keep(0, "NMPU", Kept(np.array([True, False, True]), 1.5, Clips(scales=2)))
    assert Journal(path, "two").kept(0, "NMPU") is None
    kept = Journal(path, "one").kept(0, "NMPU")
    assert kept is not None and kept.correct.tolist() == [True, False, True] and kept.clips.scales == 2
    path.write_text("{")
    assert Journal(path, "one").kept(0, "NMPU") is None


def test_bad_requests() -> None:
    for options, message in (
        ({"seeds": ()}, "at least one unit"),
        ({"batch": 0}, "batch of 1 or more"),
        ({"units": ()}, "at least one unit"),
        ({"units": (NmpuUnit(), NmpuUnit())}, "share a name"),
    ):
        with pytest.raises(UserError, match=message):
            small(**options)


@pytest.fixture(scope="module")
def digits() -> Evaluation:
    path = checkpoint.shipped("resnet9s", "digits")
    assert path is not None
    model, _ = checkpoint.restore(path)
    train, test = datasets.load("digits", None, "train"), datasets.load("digits", None, "test")
    control = NmpuUnit(config=NmpuConfig(scale=UQ(1, 1), guard=1), name="control")
    return evaluate(
        model, preset("hermes"), train.normalised(0, 128), test.normalised(0, 150), test.labels[:150],
        units=(*UNITS, control, Fp16Unit(name="FP16 again")), compiled=False, batch=75,
    )  # fmt: skip


def test_digits_end_to_end(digits: Evaluation) -> None:
    """150 test digits, one seed: each unit within four images of FP32; the same unit twice gives the same bits."""
    assert digits.fp32.accuracy >= 96
    for name in ("float", "FP16", "NMPU"):
        assert abs(digits.row(name).accuracy - digits.fp32.accuracy) <= 4 * 100 / 150
    assert np.array_equal(digits.row("FP16").correct[0], digits.row("FP16 again").correct[0])
    assert digits.baseline == "FP16"


def test_the_control_hurts(digits: Evaluation) -> None:
    """2-bit scales lose columns and images where 8-bit ones lose none."""
    assert digits.row("control").clips.zeros > digits.row("NMPU").clips.zeros
    assert digits.drops()["control"].mean > 2
