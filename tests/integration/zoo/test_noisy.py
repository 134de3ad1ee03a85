"""Training under the noise of a tile."""

import copy
import math
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from short_trainings import short
from short_trainings import tiny as tiny  # a fixture
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.zoo import checkpoint, networks, run
from integration.zoo.noisy import (
    Noise,
    NoisyLayer,
    Reads,
    clip_weights,
    make_noisy,
    make_plain,
    noisy_layers,
)
from integration.zoo.run import Run
from sim.array import Geometry
from sim.presets import HERMES
from sim.tile import program

HERMES_NOISE = Noise(HERMES)


LUMPED = replace(HERMES_NOISE, read_noise=Reads.WEIGHTS)


def source(seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return lambda: generator


def test_sigma_is_what_programming_and_reading_leave() -> None:
    # at the largest conductance: the cubic of the programming fit, and Q * sqrt(ln((t0 + t_read) / (2 t_read)))
    programming = 0.16603222 + 4.71806468 - 8.48101252 + 4.68961419
    q = 0.0123 + 0.0211 - 0.0280 + 0.0069
    read = 20.7 * q * math.sqrt(math.log((300 + 512e-9) / (2 * 512e-9)))
    of_weights, of_reads = HERMES_NOISE.of_weights(), HERMES_NOISE.of_reads()
    assert of_reads is not None and LUMPED.of_reads() is None
    assert float(of_weights[-1]) == pytest.approx(programming / 20.7, rel=1e-6)
    assert float(of_reads[-1]) == pytest.approx(read / 20.7, rel=1e-6)
    assert float(LUMPED.of_weights()[-1]) == pytest.approx(math.hypot(programming, read) / 20.7, rel=1e-6)
    assert float(of_weights[0]) == pytest.approx(0.16603222 / 20.7, rel=1e-6) and float(of_reads[0]) == 0
    quiet = replace(HERMES, array=replace(HERMES.array, read_noise=False, programming_noise=False))
    assert float(Noise(quiet).of_weights().max()) == 0 and Noise(quiet).of_reads() is None
    constant = Noise(HERMES, weight_noise=0.06)
    assert constant.of_weights().unique().tolist() == pytest.approx([0.06]) and constant.of_reads() is None


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 5, 3, padding=1, stride=2), nn.Linear(7, 4), nn.Conv2d(4, 4, 1)])
def test_weights_are_drawn_around_theirs_a_column_at_a_time(layer: nn.Conv2d | nn.Linear) -> None:
    layer = copy.deepcopy(layer)
    with torch.no_grad():
        layer.weight[0] *= 100  # one loud column must not make the others noisy
        layer.weight[1] = 0  # an empty column stays empty
    noisy = NoisyLayer(layer, Noise(HERMES, weight_noise=0.05), source())
    draws = torch.stack([noisy._weight_noise() for _ in range(4000)])
    largest = layer.weight.detach().abs().flatten(1).amax(1)
    expected = (0.05 * largest).view(-1, *[1] * (layer.weight.ndim - 1)).expand_as(layer.weight)
    # 4,000 draws: 1.1 % standard error of a deviation; the mean has sigma / sqrt(4000). 6 of them.
    assert torch.all((draws.std(0) - expected).abs() <= 6 * 0.0112 * expected + 1e-9)
    assert torch.all(draws.mean(0).abs() <= 6 * expected / 4000**0.5 + 1e-9)


def test_inputs_round_to_codes_and_evaluation_is_quiet() -> None:
    layer = nn.Conv2d(2, 3, 3, bias=False)
    noisy = NoisyLayer(layer, replace(HERMES_NOISE, output_noise=0.5), source())
    x = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    noisy.eval()
    assert torch.equal(noisy(x), layer(x))  # no range seen yet: inputs as they are
    noisy.span.fill_(1.5)
    step = 1.5 / 127
    codes = torch.round(x / step).clamp(-127, 127)
    assert torch.allclose(noisy(x), layer(codes * step), atol=1e-6)
    noisy.train()
    assert not torch.equal(noisy(x), noisy(x))  # noise of its own every time
    before = float(noisy.span)
    noisy(10 * x)
    assert before < float(noisy.span) < 40  # follows, slowly


@pytest.mark.parametrize("width", [28, 30, 32])
@pytest.mark.parametrize("column", range(28))
def test_a_range_is_read_from_every_column_of_the_images(width: int, column: int) -> None:
    """A large batch is sampled, by a step that shares no factor with the width."""
    x = torch.ones(64, 16, width, width)
    x[..., column] = 10.0
    noisy = NoisyLayer(nn.Conv2d(16, 1, 1), HERMES_NOISE, source()).train()
    noisy(x)
    assert float(noisy.span) == 10.0  # a thirtieth of the values; the percentile leaves a ten-thousandth out


def test_output_noise_is_relative_to_the_result() -> None:
    layer = nn.Linear(16, 400)
    quiet = Noise(HERMES, weight_noise=0.0, output_noise=0.1)
    noisy = NoisyLayer(layer, quiet, source()).train()
    x = torch.randn(100, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = noisy(x)
        clean = noisy.eval()(x)
        assert not torch.equal(noisy.train()(x), y)  # anew every step
    ratio = float((y - clean).square().mean().sqrt() / clean.square().mean().sqrt())
    assert ratio == pytest.approx(0.1, rel=0.03)  # 40,000 draws: 0.35 % standard error


def test_gradients_pass_straight_through_and_stop_outside_of_the_range() -> None:
    layer = nn.Linear(3, 2, bias=False)
    noisy = NoisyLayer(layer, Noise(HERMES, weight_noise=0.0), source()).eval()
    noisy.span.fill_(1.0)
    x = torch.tensor([[0.3, -0.7, 5.0]], requires_grad=True)
    noisy(x).sum().backward()
    expected = layer.weight.detach().sum(0) * torch.tensor([1.0, 1.0, 0.0])
    assert x.grad is not None and torch.allclose(x.grad[0], expected)


LAYERS = [nn.Conv2d(3, 5, 3, padding=1, stride=2, bias=False), nn.Conv2d(4, 6, (1, 3), groups=2), nn.Linear(7, 4)]


def read_variance(layer: nn.Conv2d | nn.Linear, x: Tensor, weights: Tensor) -> Tensor:
    """The variance of one read of every result, float64, from the equations of the device; largest weights as they are
    in `layer`, so that differences of `weights` do not move them."""
    columns = layer.weight.detach().double().flatten(1).abs().amax(1).view(-1, *[1] * (weights.ndim - 1))
    ratio = (weights.abs() / columns).numpy()
    growth = math.sqrt(math.log((300 + 512e-9) / (2 * 512e-9)))
    points = np.linspace(0, 1, 257)  # the slope between the points of a table is part of the contract
    q = np.where(
        points < 0.16,
        np.clip(-0.0117 * np.log(np.maximum(points, 1e-12)) - 0.0069, 0.015, 0.04),
        0.0123 + points * (0.0211 + points * (-0.0280 + points * 0.0069)),
    )
    sigma = columns * torch.from_numpy(np.interp(ratio, points, points * q * growth))
    if isinstance(layer, nn.Linear):
        return torch.einsum("...i,oi->...o", x**2, sigma**2)
    return F.conv2d(x**2, sigma**2, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def forward(layer: nn.Conv2d | nn.Linear, x: Tensor, weights: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.detach().double()
    if isinstance(layer, nn.Linear):
        return F.linear(x, weights, bias)
    return F.conv2d(x, weights, bias, layer.stride, layer.padding, layer.dilation, layer.groups)


def some_input(layer: nn.Conv2d | nn.Linear) -> Tensor:
    shape = (2, 7) if isinstance(layer, nn.Linear) else (2, layer.in_channels, 5, 6)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


QUIET_WEIGHTS = Noise(replace(HERMES, array=replace(HERMES.array, programming_noise=False)))


@pytest.mark.parametrize("layer", LAYERS)
def test_every_result_is_read_with_a_noise_of_its_own(layer: nn.Conv2d | nn.Linear) -> None:
    noisy = NoisyLayer(copy.deepcopy(layer), QUIET_WEIGHTS, source(2)).train()
    x = some_input(layer)[:1]
    with torch.no_grad():
        seen = noisy(x.expand(4000, *x.shape[1:])).double().flatten(1)  # the range is that of this batch
        step = float(noisy.span) / 127
        assert not torch.equal(noisy(x), noisy(x))  # and of every step
    codes = (x.double() / step).round().clamp(-127, 127) * step
    weights = layer.weight.detach().double()
    sigma = read_variance(layer, codes, weights).sqrt().flatten()
    mean = forward(layer, codes, weights).flatten()
    # 4,000 draws: 1.1 % standard error of a deviation, sigma / sqrt(4000) of a mean, 1 / sqrt(4000) of a correlation
    assert torch.all((seen.std(0) / sigma - 1).abs() < 5 * 0.0112)
    assert torch.all((seen.mean(0) - mean).abs() < 5 * sigma / 4000**0.5 + 1e-6)
    correlation = torch.corrcoef(seen.T) - torch.eye(seen.shape[1], dtype=torch.float64)
    assert float(correlation.abs().max()) < 6 / 4000**0.5


def test_the_tile_reads_with_the_same_noise() -> None:
    """The variance that a programmed tile attaches to its currents, and the one that training draws from."""
    layer = nn.Conv2d(20, 8, 3, padding=1, bias=False)  # 180 rows, one array
    noisy = NoisyLayer(layer, QUIET_WEIGHTS, source()).train()
    codes = torch.randint(-127, 128, (2, 20, 6, 6), generator=torch.Generator().manual_seed(1)).float()
    geometry = Geometry(kernel=(3, 3), padding=(1, 1))
    array = replace(HERMES.array, programming_noise=False)
    weights = layer.weight.detach().double().numpy()
    programmed = program(replace(HERMES, array=array), weights, geometry, signed=True, seed=0, layer=0)
    x = codes.contiguous(memory_format=torch.channels_last)
    steps = torch.from_numpy(programmed.weight_step[0])
    lines = programmed.currents(x)[1][0].double() * programmed.variance_step
    theirs = (lines[:, :8] + lines[:, 8:]) * steps**2  # both polarities, in squared weights times codes
    ours = noisy._variance(codes[:, :8], codes * codes)
    assert ours is not None
    own = ours.detach().double().permute(0, 2, 3, 1).reshape(-1, 8)
    assert torch.all((own / theirs - 1).abs() < 0.02)  # the tile's variances lie on a grid of 511 steps


@pytest.mark.parametrize("layer", LAYERS)
def test_gradients_of_read_noise_are_exact(layer: nn.Conv2d | nn.Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against central differences of the equations in float64, with the deviates that were drawn."""
    noisy = NoisyLayer(copy.deepcopy(layer), QUIET_WEIGHTS, source(5)).train()
    raw = some_input(layer)
    noisy(raw)
    monkeypatch.setattr(NoisyLayer, "_follow", lambda *_: None)  # the range stays that of `raw`
    step = float(noisy.span) / 127
    x = ((raw / step).round().clamp(-126, 126) * step).requires_grad_()  # on codes: rounding changes nothing
    y = noisy(x)
    towards = torch.randn(y.shape, generator=torch.Generator().manual_seed(6))
    (y * towards).sum().backward()
    weights, codes = layer.weight.detach().double(), x.detach().double()
    normal = (y.detach().double() - forward(layer, codes, weights)) / read_variance(layer, codes, weights).sqrt()

    def value(x: Tensor, weights: Tensor) -> float:
        result = forward(layer, x, weights) + read_variance(layer, x, weights).sqrt() * normal
        return float((result * towards).sum())

    assert x.grad is not None and noisy.layer.weight.grad is not None
    for variable, gradient, other in (
        (codes, x.grad, lambda moved: value(moved, weights)),
        (weights, noisy.layer.weight.grad, lambda moved: value(codes, moved)),
    ):
        for place in range(0, variable.numel(), 3):
            own = variable.view(-1)[place].abs()
            if own < 1e-6 or (variable is weights and own == weights[place // weights[0].numel()].abs().max()):
                continue  # a corner of |w|, or what the column is scaled by
            high, low = variable.clone(), variable.clone()
            high.view(-1)[place] += 1e-7
            low.view(-1)[place] -= 1e-7
            slope = (other(high) - other(low)) / 2e-7
            assert float(gradient.reshape(-1)[place]) == pytest.approx(slope, rel=2e-3, abs=2e-4)


def test_where_nothing_is_read_nothing_is_spread() -> None:
    """No input, no variance, and a gradient of 0 instead of one divided by it."""
    noisy = NoisyLayer(nn.Conv2d(2, 3, 3), QUIET_WEIGHTS, source()).train()
    noisy.span.fill_(1.0)
    x = torch.zeros(1, 2, 5, 5, requires_grad=True)
    y = noisy(x)
    y.sum().backward()
    assert torch.equal(y, noisy.layer.bias.view(1, 3, 1, 1).expand_as(y))
    assert noisy.layer.weight.grad is not None and torch.isfinite(noisy.layer.weight.grad).all()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_weights_are_clipped_layer_by_layer() -> None:
    model = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 50))
    with torch.no_grad():
        model[0].weight[0, 0] = 100.0
    before = model[2].weight.detach().clone()
    make_noisy(model, replace(HERMES_NOISE, clip=3.0), source())
    first = noisy_layers(model)[0].layer.weight
    limit = 3 * float(first.detach().std(correction=0))
    clip_weights(model)
    assert float(first.detach().abs().max()) == pytest.approx(limit) and limit < 100
    assert torch.equal(noisy_layers(model)[1].layer.weight, before)  # uniform weights: none beyond 3 sigma
    make_noisy_none = copy.deepcopy(first)
    noisy_layers(model)[0].noise = replace(HERMES_NOISE, clip=0.0)
    clip_weights(model)
    assert torch.equal(first, make_noisy_none)


def test_the_plain_network_comes_back_with_what_it_learned() -> None:
    model = networks.build("resnet9s")
    names = list(model.state_dict())
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    make_noisy(model, HERMES_NOISE, source())
    assert len(noisy_layers(model)) == 9
    make_plain(model)
    assert list(model.state_dict()) == names
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_layer_that_is_used_twice_is_one() -> None:
    shared = nn.Linear(4, 4)
    model = make_noisy(nn.Sequential(shared, nn.ReLU(), shared), HERMES_NOISE, source())
    assert len(noisy_layers(model)) == 1
    assert make_plain(model)[0] is shared and model[2] is shared
    with pytest.raises(UserError, match="nothing to train under noise"):
        make_noisy(nn.Sequential(nn.ReLU()), HERMES_NOISE, source())


def test_a_training_stopped_inside_an_epoch_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = replace(HERMES_NOISE, output_noise=0.02)
    plain = short(tmp_path / "plain.npz")
    arguments: dict[str, Any] = {"noise": noise, "start": plain.path}
    whole = short(tmp_path / "whole.npz", **arguments)
    monkeypatch.setattr(run, "SAVE_SECONDS", -1.0)  # a state after every step
    save, count = Run.save, [0]

    def stopping(own: Run, path: Path) -> None:
        save(own, path)
        count[0] += 1
        if count[0] % 7 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stopping)
    for _ in range(10):
        try:
            parts = short(tmp_path / "parts.npz", **arguments)
            break
        except KeyboardInterrupt:
            continue
    assert count[0] > 21 and parts.card == whole.card
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert whole.card.recipe["preset"] == "hermes" and whole.card.recipe["clip"] == 2.0 and whole.card.recipe["start"]
    assert checkpoint.restore(whole.path)[1] == whole.card  # a plain network, by name


def test_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        short(tmp_path / "x.npz", start=tmp_path / "none.npz")
    with pytest.raises(UserError, match="clip is -1"):
        short(tmp_path / "x.npz", noise=replace(HERMES_NOISE, clip=-1.0))
    with pytest.raises(UserError, match=r"clip is 0.5: 0 \(nowhere\) or 1.5..100"):
        short(tmp_path / "x.npz", noise=replace(HERMES_NOISE, clip=0.5))
    with pytest.raises(UserError, match="diverged"):
        short(tmp_path / "x.npz", noise=replace(HERMES_NOISE, clip=0.0), peak_lr=100.0, weight_decay=1.0, epochs=60)
    with pytest.raises(UserError, match="weight_noise is 11"):
        short(tmp_path / "x.npz", noise=replace(HERMES_NOISE, weight_noise=11.0))
    other = tmp_path / "other.npz"
    checkpoint.save_state(other, networks.build("resnet9s").state_dict())
    with pytest.raises(UserError, match="checkpoint of another network"):
        short(tmp_path / "x.npz", start=other)
    assert not (tmp_path / "x.npz").exists()


def test_a_state_of_another_tile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of one name differ in their fields."""

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("integration.zoo.training.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            short(tmp_path / "x.npz", noise=HERMES_NOISE)
    quiet = replace(HERMES, array=replace(HERMES.array, read_noise=False))
    with pytest.raises(UserError, match=r"belongs to another recipe \(tile [0-9a-f]+ instead of"):
        short(tmp_path / "x.npz", noise=Noise(quiet))


def test_a_folder_or_disk_that_cannot_take_the_result_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        short(tmp_path / "file" / "x.npz")


def test_a_full_disk_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, before = Run.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_a_full_disk(own: Run, path: Path) -> None:
        if own.done == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        save(own, path)

    whole = short(tmp_path / "whole.npz")
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", on_a_full_disk)
        try:
            with pytest.raises(UserError, match=r"cannot write .*x.state.pt: File too large; make room"):
                short(tmp_path / "x.npz")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.glob("x*")) == ["x.state.pt"]
    assert short(tmp_path / "x.npz").card == whole.card  # goes on behind the first epoch
