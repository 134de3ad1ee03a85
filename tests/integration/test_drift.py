"""Networks whose devices drift behind their calibration."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from golden_model.errors import UserError
from integration.mapping.calibrated import Calibrated, Calibration
from integration.mapping.drift import Age, Compensation, aged
from integration.mapping.network import ConvertedNetwork, convert
from sim.digital import FloatUnit, Fp16Unit, NmpuUnit
from sim.presets import HERMES
from sim.tile import program

DAY = 86400.0
STILL = replace(HERMES, array=replace(HERMES.array, read_noise=False))


def network(images: torch.Tensor, seed: int = 0) -> Calibrated:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(3, 40, 3, padding=1), nn.ReLU(), nn.Conv2d(40, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1600, 10)
    ).eval()
    return convert(model, STILL, images, units=(), seed=seed, calibration=Calibration(images=16)).calibrated


def flat(value: Any) -> Any:
    """Return parameters as plain data, to compare."""
    if is_dataclass(value):
        return {f.name: flat(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: flat(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [flat(each) for each in value]
    return value.tolist() if isinstance(value, torch.Tensor | np.ndarray) else value


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def young(images: torch.Tensor) -> Calibrated:
    return network(images)


def logits(calibrated: Calibrated, images: torch.Tensor) -> torch.Tensor:
    ready = ConvertedNetwork(calibrated)
    ready.add(FloatUnit())
    return ready.run(images, "float", compiled=False)


def test_age_programs_the_same_devices() -> None:
    """Drift has a stream of its own: whatever was programmed, and every converter, is the same at any age."""
    weights = np.random.default_rng(0).standard_normal((4, 100, 3, 3))
    later = replace(STILL, array=replace(STILL.array, seconds=1e-6))  # drifts by nothing that the grid shows
    shape = young_geometry()
    chips = [program(tile, weights, shape, signed=False, seed=5, layer=1) for tile in (STILL, later)]
    assert len(chips[0].tiles.weights) > 1
    for a, b in zip(chips[0].tiles.weights, chips[1].tiles.weights, strict=True):
        assert torch.equal(a, b)
    assert np.array_equal(chips[0].relative_gain, chips[1].relative_gain)


def young_geometry() -> "object":
    from sim.array import Geometry

    return Geometry(kernel=(3, 3), padding=(1, 1))


def test_no_time_changes_nothing(young: Calibrated, images: torch.Tensor) -> None:
    assert aged(young, images, Age()) is young


def test_drift_shrinks_the_logits_and_compensation_brings_them_back(young: Calibrated, images: torch.Tensor) -> None:
    before = logits(young, images)
    error = {}
    for compensation in Compensation:
        after = logits(aged(young, images, Age(seconds=DAY, compensation=compensation)), images)
        error[compensation] = float((after - before).square().mean().sqrt() / before.std())
    assert error[Compensation.NONE] > 2 * error[Compensation.GLOBAL]
    assert error[Compensation.NONE] > 2 * error[Compensation.COLUMN]


def test_without_compensation_nothing_is_rewritten(young: Calibrated, images: torch.Tensor) -> None:
    """Not a bit of any unit's parameters moves: the devices are older, and that is all."""
    old = aged(young, images, Age(seconds=DAY, compensation=Compensation.NONE))
    for unit in (FloatUnit(), Fp16Unit(), NmpuUnit()):
        chains = [ConvertedNetwork(calibrated) for calibrated in (young, old)]
        for chain in chains:
            chain.add(unit)
        kept = [[flat(prepared) for prepared in chain.prepared[unit.name]] for chain in chains]
        assert len(str(kept)) > 1000 and kept[0] == kept[1]
    assert not torch.equal(old.layers[0].programmed.tiles.weights[0], young.layers[0].programmed.tiles.weights[0])


def test_compensation_makes_each_columns_magnitude_what_it_was(young: Calibrated, images: torch.Tensor) -> None:
    """The factor by hand, from read-outs of the first layer: a column's sum of magnitudes is restored."""
    old = aged(young, images, Age(seconds=DAY, compensation=Compensation.COLUMN))
    a, b = young.layers[0], old.layers[0]
    codes = young.tile.encode.encode(images, young.input_scale).contiguous(memory_format=torch.channels_last)

    def magnitude(layer: object, gains: np.ndarray) -> np.ndarray:
        positive, negative = layer.programmed.read(codes, None)[0]  # type: ignore[attr-defined]  # a layer
        return np.abs(gains[0][0] * positive.double().numpy() - gains[0][1] * negative.double().numpy()).sum(0)

    assert np.allclose(magnitude(b, b.gains), magnitude(a, a.gains), rtol=1e-9)
    alpha = b.gains[0] / np.where(a.gains[0] == 0, 1, a.gains[0])
    assert np.all((alpha > 1.0) | (a.gains[0] == 0)) and np.allclose(b.offsets[0], a.offsets[0] * alpha.max(0))
    whole = aged(young, images, Age(seconds=DAY, compensation=Compensation.GLOBAL)).layers[0]
    ratio = whole.gains[0][a.gains[0] > 0] / a.gains[0][a.gains[0] > 0]
    assert np.allclose(ratio, ratio[0]) and 1.2 < ratio[0] < 1.8  # (86700 / 300)^0.06 = 1.4


def test_scales_are_rewritten_for_every_unit(young: Calibrated, images: torch.Tensor) -> None:
    old = aged(young, images, Age(seconds=DAY))
    for unit in (Fp16Unit(), NmpuUnit()):
        ready = ConvertedNetwork(old)
        ready.add(unit)
        assert torch.isfinite(ready.run(images, unit.name, compiled=False)).all()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_impossible_ages(seconds: float) -> None:
    with pytest.raises(UserError, match="age: seconds"):
        Age(seconds=seconds)
