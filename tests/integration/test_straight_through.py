"""Training through the chain: its values to the bit, the plain network's slopes."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small_networks import EveryOperation, seeded
from torch import nn

from integration.mapping.calibrated import Calibration
from integration.mapping.straight_through import StraightThrough
from integration.zoo import datasets
from integration.zoo.datasets import Split
from sim.digital import FloatUnit, Fp16Unit, NmpuUnit
from sim.presets import HERMES

QUIET = replace(
    HERMES,
    array=replace(HERMES.array, programming_noise=False, read_noise=False),
    readout=replace(HERMES.readout, full_scale=65535, gain_sigma=0.0, offset_sigma=0.0),
)


@pytest.mark.parametrize("unit", [FloatUnit(), Fp16Unit(), NmpuUnit()])
def test_forward_is_the_chain_to_the_bit(unit: FloatUnit | Fp16Unit | NmpuUnit) -> None:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    through = StraightThrough(seeded(EveryOperation), "hermes", images, unit=unit, calibration=Calibration(images=8))
    first = through(images)
    assert torch.equal(first, through.network.run(images, unit.name, first=0, compiled=False))
    second = through(images)  # read noise of its own
    assert not torch.equal(first, second)
    assert torch.equal(second, through.network.run(images, unit.name, first=8, compiled=False))


def test_on_a_quiet_tile_slopes_are_those_of_the_plain_network() -> None:
    """What is left is 8-bit activations: the slopes point the same way."""
    model = seeded(EveryOperation)
    images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32) % 10
    through = StraightThrough(model, QUIET, images, calibration=Calibration(images=32))
    F.cross_entropy(through(images), labels).backward()
    ours = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    theirs = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys() and len(ours) == len(list(model.parameters()))
    flat = [torch.cat([slopes[name].flatten() for name in ours]) for slopes in (ours, theirs)]
    assert F.cosine_similarity(flat[0], flat[1], 0) > 0.95
    for name, slope in ours.items():
        assert F.cosine_similarity(slope.flatten(), theirs[name].flatten(), 0) > 0.7, name


class Aliases(nn.Module):
    """A value that two layers read, one of them behind an Identity; dropout that only training has."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.same, self.head = nn.Identity(), nn.Linear(4 * 49, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        y = self.conv(x) + self.same(x)
        y = F.dropout(F.max_pool2d(F.relu(y), 4), 0.5, self.training)
        return self.head(y.flatten(1))


def test_every_layer_reads_what_the_tile_made() -> None:
    """The slope of a layer's weights is that at the chain's values, whoever else reads them and under which name."""
    torch.manual_seed(0)
    model = Aliases().train()
    images = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    through = StraightThrough(model, "hermes", images, calibration=Calibration(images=8))
    inputs: dict[str, torch.Tensor] = {}
    for name in ("conv", "head"):
        model.get_submodule(name).register_forward_hook(lambda _, x, __, name=name: inputs.update({name: x[0]}))
    given: dict[int, torch.Tensor] = {}
    calibrated = through.network.calibrated
    through.network.run(
        images, "float", first=0, compiled=False, keep=lambda n, c: given.update({n: c * calibrated.scales[n]})
    )
    through(images).sum().backward()
    layers = {layer.name: layer for layer in calibrated.graph.layers}
    for name, seen in inputs.items():
        assert torch.equal(seen.detach().flatten(), given[layers[name].source].flatten()), name
    again = model.head.weight.grad
    assert again is not None and not model.training
    model.zero_grad()
    through.seen = 0
    through(images).sum().backward()
    assert torch.equal(again, model.head.weight.grad)  # no mask of a dropout in it


def test_a_loop_of_the_users_own_learns_on_the_chips_that_it_meets() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 10)
    )
    data = datasets.load("digits", None, Split.TRAIN)
    images, labels = data.normalised(0, 128), data.labels[:128]
    before = copy.deepcopy(model.state_dict())
    through = StraightThrough(model, "hermes", images, unit=NmpuUnit(), calibration=Calibration(images=64)).train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for seed in range(20):
        through.program(seed)
        loss = F.cross_entropy(through(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 2 and max(losses[-3:]) < 0.5
    running = [name for name in before if "running" in name]
    assert len(running) == 2  # the chain's, which this loop leaves as they are
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in running)
