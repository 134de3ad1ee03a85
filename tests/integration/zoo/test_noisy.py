"""Training under the noise of a tile."""

import copy
import math
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from short_trainings import short
from short_trainings import tiny as tiny  # a fixture
from torch import nn

from golden_model.errors import UserError
from integration.zoo import checkpoint, networks, run
from integration.zoo.noisy import (
    Noise,
    NoisyLayer,
    clip_weights,
    make_noisy,
    make_plain,
    noisy_layers,
    straight_through,
)
from integration.zoo.run import Run
from sim.kernels import compiler_stands
from sim.presets import HERMES

HERMES_NOISE = Noise(HERMES)


def draw(generator: torch.Generator) -> Any:
    return lambda shape: torch.randn(shape, generator=generator)


def test_sigma_is_what_programming_and_reading_leave() -> None:
    sigma = HERMES_NOISE.sigma()
    # at the largest conductance: the cubic of the programming fit, and Q * sqrt(ln((t0 + t_read) / (2 t_read)))
    programming = 0.16603222 + 4.71806468 - 8.48101252 + 4.68961419
    q = 0.0123 + 0.0211 - 0.0280 + 0.0069
    read = 20.7 * q * math.sqrt(math.log((300 + 512e-9) / (2 * 512e-9)))
    assert float(sigma[-1]) == pytest.approx(math.hypot(programming, read) / 20.7, rel=1e-6)
    assert float(sigma[0]) == pytest.approx(0.16603222 / 20.7, rel=1e-6)  # nothing flows, so nothing is read
    quiet = replace(HERMES, array=replace(HERMES.array, read_noise=False, programming_noise=False))
    assert float(Noise(quiet).sigma().max()) == 0
    assert Noise(HERMES, weight_noise=0.06).sigma().unique().tolist() == pytest.approx([0.06])


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 5, 3, padding=1, stride=2), nn.Linear(7, 4), nn.Conv2d(4, 4, 1)])
def test_weights_are_drawn_around_theirs_a_column_at_a_time(layer: nn.Conv2d | nn.Linear) -> None:
    layer = copy.deepcopy(layer)
    with torch.no_grad():
        layer.weight[0] *= 100  # one loud column must not make the others noisy
        layer.weight[1] = 0  # an empty column stays empty
    noisy = NoisyLayer(layer, Noise(HERMES, weight_noise=0.05), draw(torch.Generator().manual_seed(0)))
    draws = torch.stack([noisy._weight_noise() for _ in range(4000)])
    largest = layer.weight.detach().abs().flatten(1).amax(1)
    expected = (0.05 * largest).view(-1, *[1] * (layer.weight.ndim - 1)).expand_as(layer.weight)
    # 4,000 draws: 1.1 % standard error of a deviation; the mean has sigma / sqrt(4000). 6 of them.
    assert torch.all((draws.std(0) - expected).abs() <= 6 * 0.0112 * expected + 1e-9)
    assert torch.all(draws.mean(0).abs() <= 6 * expected / 4000**0.5 + 1e-9)


def test_inputs_round_to_codes_and_evaluation_is_quiet() -> None:
    layer = nn.Conv2d(2, 3, 3, bias=False)
    noisy = NoisyLayer(layer, replace(HERMES_NOISE, output_noise=0.5), draw(torch.Generator()))
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
    noisy = NoisyLayer(nn.Conv2d(16, 1, 1), HERMES_NOISE, draw(torch.Generator())).train()
    noisy(x)
    assert float(noisy.span) == 10.0  # a thirtieth of the values; the percentile leaves a ten-thousandth out


def test_output_noise_is_relative_to_the_result() -> None:
    layer = nn.Linear(16, 400)
    quiet = Noise(HERMES, weight_noise=0.0, output_noise=0.1)
    noisy = NoisyLayer(layer, quiet, draw(torch.Generator().manual_seed(0))).train()
    x = torch.randn(100, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = noisy(x)
        clean = noisy.eval()(x)
    ratio = float((y - clean).square().mean().sqrt() / clean.square().mean().sqrt())
    assert ratio == pytest.approx(0.1, rel=0.03)  # 40,000 draws: 0.35 % standard error


def test_gradients_pass_straight_through_and_stop_outside_of_the_range() -> None:
    layer = nn.Linear(3, 2, bias=False)
    noisy = NoisyLayer(layer, Noise(HERMES, weight_noise=0.0), draw(torch.Generator())).eval()
    noisy.span.fill_(1.0)
    x = torch.tensor([[0.3, -0.7, 5.0]], requires_grad=True)
    noisy(x).sum().backward()
    expected = layer.weight.detach().sum(0) * torch.tensor([1.0, 1.0, 0.0])
    assert x.grad is not None and torch.allclose(x.grad[0], expected)


@pytest.mark.whole
@pytest.mark.skipif(not compiler_stands(), reason="no C++ compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_and_plain_rounding_are_the_same_bits_and_torchs(dtype: torch.dtype) -> None:
    """Values on, beside and beyond every edge between codes, and random ones; forward and gradient."""
    step = torch.tensor(0.0213)
    edges = (torch.arange(-130, 131) + 0.5) * step
    random = torch.randn(4, 16, 9, 9, generator=torch.Generator().manual_seed(0)).flatten()
    around = [edges, edges.nextafter(torch.tensor(9.0)), edges.nextafter(torch.tensor(-9.0))]
    values = torch.cat([*around, torch.tensor([0.0, -0.0, 1e9, -1e9]), random])
    x, seen = values.to(dtype), {}
    for fused in (False, True):
        inside = x.clone().requires_grad_()
        y = straight_through(inside, step, -127, 127, fused=fused)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        (y * weights).sum().backward()
        assert inside.grad is not None and y.dtype == dtype
        seen[fused] = y.detach(), inside.grad
    reference = x.float().requires_grad_()
    zero = torch.zeros((), dtype=torch.int32)
    theirs = torch.fake_quantize_per_tensor_affine(reference, step, zero, -127, 127)
    (theirs * weights).sum().backward()
    assert reference.grad is not None and (reference.grad == 0).sum() > 8
    for y, gradient in seen.values():
        assert torch.equal(y, theirs.detach().to(dtype)) and torch.equal(gradient, reference.grad.to(dtype))


def test_weights_are_clipped_layer_by_layer() -> None:
    model = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 50))
    with torch.no_grad():
        model[0].weight[0, 0] = 100.0
    before = model[2].weight.detach().clone()
    make_noisy(model, replace(HERMES_NOISE, clip=3.0), draw(torch.Generator()))
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
    make_noisy(model, HERMES_NOISE, draw(torch.Generator()))
    assert len(noisy_layers(model)) == 9
    make_plain(model)
    assert list(model.state_dict()) == names
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_layer_that_is_used_twice_is_one() -> None:
    shared = nn.Linear(4, 4)
    model = make_noisy(nn.Sequential(shared, nn.ReLU(), shared), HERMES_NOISE, draw(torch.Generator()))
    assert len(noisy_layers(model)) == 1
    assert make_plain(model)[0] is shared and model[2] is shared
    with pytest.raises(UserError, match="nothing to train under noise"):
        make_noisy(nn.Sequential(nn.ReLU()), HERMES_NOISE, draw(torch.Generator()))


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
