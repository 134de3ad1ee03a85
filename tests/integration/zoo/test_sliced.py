"""Training on bit-sliced tiles: what layers compute, what calibration fits, and trainings that stop and go on."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from golden_model.errors import UserError
from integration.cli import main
from integration.zoo import checkpoint, datasets, networks
from integration.zoo.batch_norms import estimate
from integration.zoo.run import Run
from integration.zoo.sliced import Granularity, SlicedConv2d, Sums, quantise, set_sums, slice_network, sliced_layers
from integration.zoo.sliced_training import calibrate, load_sliced, train_sliced
from integration.zoo.training import Trained, accuracy
from sim.presets import HCIM_A, HCIM_B, HCIM_WIDE

NET = "sliced_tiny_network:net"


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sliced_tiny_network.py").write_text(
        "from torch import nn\n"
        "def net(classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 8, 5, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(),\n"
        "                         nn.Conv2d(8, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),\n"
        "                         nn.Flatten(), nn.Linear(6 * 49, classes))\n"
    )
    monkeypatch.chdir(tmp_path)


def layer(seed: int = 0, bits: int = 4) -> SlicedConv2d:
    torch.manual_seed(seed)
    made = SlicedConv2d(nn.Conv2d(16, 6, 3, padding=1, bias=False), HCIM_A, "layer")
    made.sums = Sums.COMPARATOR
    with torch.no_grad():
        made.step_input.fill_(0.3)
        made.step_weight.fill_(0.02)
        made.scale.copy_(torch.rand_like(made.scale) * 3 + 0.5)
        made.scale_step.fill_(1.25)
        made.threshold.fill_(2.0)
    return made


def test_codes_round_half_up_and_gradients_pass_inside_the_range() -> None:
    values = torch.tensor([-1.0, -0.26, 0.0, 0.249, 0.25, 0.75, 7.4, 7.9, 99.0], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    codes = quantise(values, step, 0, 15)
    assert codes.tolist() == [0, 0, 0, 0, 1, 2, 15, 15, 15]
    torch.autograd.backward(codes.sum())
    assert values.grad is not None and values.grad.tolist() == [0, 0, 0, 2, 2, 2, 2, 0, 0]
    assert step.grad is not None and step.grad.item() == pytest.approx(-(0.249 + 0.25 + 0.75 + 7.4) / 0.25)


@pytest.mark.whole
def test_a_layer_is_the_sum_of_its_definition() -> None:
    made = layer()
    x = torch.rand(2, 16, 5, 5) * 5
    with torch.no_grad():
        y = made(x)
        codes = torch.floor(x / 0.3 + 0.5).clamp(0, 15).byte()
        weights = torch.floor(made.conv.weight / 0.02 + 0.5).clamp(-7, 7)
        sliced = made.sliced(weights)
        total = torch.zeros(2, 6, 5, 5, dtype=torch.float64)
        for t in range(sliced.tiles):
            sums = sliced.partial_sums(codes, t)
            p = (sums >= 2).double() - (sums <= -2).double()
            for j in range(4):
                for k in range(3):
                    scale = made.scale[t, j, 6 * k : 6 * k + 6].double() * 2**j / 1.25
                    code = torch.floor(scale + 0.5).clamp(0, 15)
                    total += 2**k * code[:, None, None] * p[:, j, 6 * k : 6 * k + 6]
    assert torch.equal(y, (total.float() * (made.step_input * made.step_weight * made.scale_step)))


@pytest.mark.whole
def test_a_scales_gradient_is_exact_where_its_code_is() -> None:
    """The loss is linear in a scale's code: moving a code by one moves the loss by the gradient times the step."""
    made = layer()
    x = torch.rand(2, 16, 5, 5) * 5
    weight = torch.randn(2, 6, 5, 5)
    (made(x) * weight).sum().backward()
    assert made.scale.grad is not None
    rng = np.random.default_rng(0)
    for t, j, c in ((int(rng.integers(2)), int(rng.integers(4)), int(rng.integers(18))) for _ in range(6)):
        moved = layer()
        code = moved.codes()[t, j, c].item()
        other = code + (1 if code < 15 else -1)
        with torch.no_grad():
            before = (moved(x) * weight).double().sum().item()
            moved.scale[t, j, c] = other * 1.25 / 2**j
            slope = ((moved(x) * weight).double().sum().item() - before) / ((other - code) * 1.25 / 2**j)
        passed = 0 < made.scale[t, j, c].item() * 2**j / 1.25 < 15
        assert made.scale.grad[t, j, c].item() == pytest.approx(slope if passed else 0.0, rel=2e-3, abs=1e-5)


def test_exact_sums_are_a_convolution_of_codes() -> None:
    made = layer()
    made.sums = Sums.INTEGER
    x = torch.rand(1, 16, 4, 4)
    codes, weights = quantise(x, made.step_input, 0, 15), made.integer_weights()
    expected = torch.nn.functional.conv2d(codes, weights, padding=1) * (made.step_input * made.step_weight)
    assert torch.equal(made(x), expected)


@pytest.mark.parametrize("ternary", [True, False])
def test_calibration_fits_scales_by_least_squares(ternary: bool) -> None:
    tile = replace(HCIM_A, readout=replace(HCIM_A.readout, ternary=ternary))
    made = layer()
    made.tile = tile
    x = torch.rand(8, 16, 6, 6) * 5
    made.prepare(x)
    codes = torch.floor(x / 0.3 + 0.5).clamp(0, 15).byte()
    sliced = made.sliced(made.integer_weights())
    threshold = int(made.threshold.item())
    assert (threshold >= 1) is ternary
    for t in range(sliced.tiles):
        sums = sliced.partial_sums(codes, t).double()
        p = (sums >= threshold).double() - (sums <= (-threshold if ternary else -1)).double()
        flat = sums.permute(1, 2, 0, 3, 4).reshape(4, 18, -1), p.permute(1, 2, 0, 3, 4).reshape(4, 18, -1)
        for j, c in ((0, 0), (1, 5), (3, 17)):
            slope = np.polyfit(flat[1][j, c].numpy(), flat[0][j, c].numpy(), 1)[0]
            assert made.scale[t, j, c].item() == pytest.approx(max(slope, 0.05), rel=1e-3)


@pytest.mark.parametrize("granularity", Granularity)
def test_what_shares_a_scale_gets_the_same_one(granularity: Granularity) -> None:
    made = layer()
    made.granularity = granularity
    made.prepare(torch.rand(8, 16, 6, 6) * 5)
    scales = made.scale.detach().view(2, 4, 3, 6)
    for axis in range(4):
        spread = (scales.amax(axis) - scales.amin(axis)).max()
        assert (spread == 0) == (axis in granularity.value)


def test_negative_inputs_are_refused_by_name() -> None:
    made = layer()
    made.sums, made.preparing = Sums.INTEGER, True
    with pytest.raises(UserError, match=r"layer reads negative values.*put a ReLU"):
        made(torch.randn(1, 16, 4, 4))


def test_all_but_the_first_convolution_are_sliced() -> None:
    model = slice_network(networks.build("resnet20"), HCIM_B)
    names = [made.name for made in sliced_layers(model)]
    assert len(names) == 18 and "conv1" not in names and "layer3.2.conv2" in names
    with pytest.raises(UserError, match="has no Conv2d behind its first one"):
        slice_network(nn.Sequential(nn.Conv2d(1, 1, 1)), HCIM_A)
    with pytest.raises(UserError, match=r"1 \(Conv2d\) cannot be sliced"):
        slice_network(nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1, groups=2, bias=False)), HCIM_A)


def test_calibration_leaves_alone_what_did_not_change(start: Path) -> None:
    """Batch norms in front of all sliced layers keep their statistics; those behind are estimated again."""
    model, _ = load_sliced(start, HCIM_A, classes=10, channels=1, network=NET)
    assert isinstance(model, nn.Sequential)
    state = model.state_dict()
    state["1.running_mean"].fill_(0.25)
    state["1.running_var"].fill_(4.0)
    state["4.running_mean"].fill_(99.0)
    images = datasets.load("digits").normalised(0, 300)
    calibrate(model, images, Sums.INTEGER)
    assert bool((state["1.running_mean"] == 0.25).all()) and bool((state["1.running_var"] == 4.0).all())
    assert state["1.num_batches_tracked"] == 0 and not model.training
    with torch.no_grad():
        seen = model[:4](images)
    batches = [seen[:256], seen[256:]]  # the plain mean over batches
    wanted = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    assert torch.allclose(state["4.running_mean"], wanted, atol=1e-5)


def short(output: Path, start: Path, sums: Sums, **changes: Any) -> Trained:
    arguments: dict[str, Any] = {"epochs": 2, "quick": True, "threads": 1, "bf16": False, "batch": 64}
    console = Console(file=io.StringIO())
    return train_sliced(NET, "digits", HCIM_A, start, sums=sums, output=output, console=console, **arguments | changes)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "start.npz"
    checkpoint.save_state(path, networks.build(NET, classes=10, in_channels=1).state_dict())
    return path


@pytest.mark.whole
def test_a_network_learns_in_both_stages(tmp_path: Path, start: Path) -> None:
    integer = short(tmp_path / "i.npz", start, Sums.INTEGER, epochs=6)
    assert integer.card.accuracy > 60 and integer.card.curve[-1]["held_out"] > 60
    made = short(tmp_path / "c.npz", integer.path, Sums.COMPARATOR, epochs=6)
    assert made.card.recipe["sums"] == "comparator" and made.card.recipe["preset"] == "hcim_a"
    model, known = load_sliced(made.path, HCIM_A, classes=10, channels=1, network=NET)
    set_sums(model, Sums.COMPARATOR)
    test = datasets.load("digits").first(450)
    assert known and accuracy(model, test) == made.card.accuracy > 55
    again = short(tmp_path / "more.npz", made.path, Sums.COMPARATOR, epochs=1)  # goes on, without calibrating anew
    assert again.card.accuracy > 50


def test_options_reach_the_recipe(start: Path) -> None:
    """From the command line: the rates of scales and steps follow that of the weights."""
    options = f"train --network {NET} --preset hcim_a --sums integer --from {start} --quick --epochs 1"
    with pytest.raises(SystemExit) as stop:
        main([*options.split(), "--peak-lr", "0.0004", "--crop", "0", "-o", "made.npz"])
    assert not stop.value.code
    card = checkpoint.read_card(Path("made.npz"))
    assert card is not None and card.recipe["crop"] == 0
    assert [card.recipe[name] for name in ("rate", "scale_rate", "step_rate")] == [4e-4, 2e-3, 4e-5]


@pytest.mark.whole
def test_a_stopped_training_ends_in_the_same_weights(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    integer = short(tmp_path / "i.npz", start, Sums.INTEGER)
    whole = short(tmp_path / "whole.npz", integer.path, Sums.COMPARATOR)
    save = Run.save

    def interrupted(run: Run, path: Path) -> None:
        save(run, path)
        if run.done == 0 and run.step == 5:  # in the middle of an epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("integration.zoo.run.SAVE_SECONDS", 0.0)
        patch.setattr(Run, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            short(tmp_path / "parts.npz", integer.path, Sums.COMPARATOR)
    assert (tmp_path / "parts.state.pt").exists() and not (tmp_path / "parts.npz").exists()
    with pytest.raises(UserError, match="another recipe"):
        short(tmp_path / "parts.npz", integer.path, Sums.COMPARATOR, rate=0.01)
    parts = short(tmp_path / "parts.npz", integer.path, Sums.COMPARATOR)
    assert parts.path.read_bytes() == whole.path.read_bytes() and parts.card == whole.card


@pytest.mark.whole
def test_batch_norms_settle_at_the_end(tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their statistics are those of many batches; a training stopped there ends in the same weights."""
    integer = short(tmp_path / "i.npz", start, Sums.INTEGER, epochs=1)
    seen: list[torch.Tensor] = []

    def watched(model: nn.Module, norms: list[Any], batches: Iterator[torch.Tensor]) -> None:
        known = len(seen)
        seen.extend(batches)
        estimate(model, norms, seen[known:])

    with monkeypatch.context() as patch:
        patch.setattr("integration.zoo.sliced_training.estimate", watched)
        made = short(tmp_path / "c.npz", integer.path, Sums.COMPARATOR, epochs=1, crop=0)
    assert {"held_out", "settled_held_out"} <= made.card.curve[-1].keys()
    model, _ = load_sliced(made.path, HCIM_A, classes=10, channels=1, network=NET)
    assert isinstance(model, nn.Sequential)
    steps = [batch for batch in seen if len(batch) == 64]  # those of the calibration are larger
    assert 4 < len(steps) < len(seen)
    with torch.no_grad():
        outputs = [model[0](batch) for batch in steps]
    mean = torch.stack([each.mean((0, 2, 3)) for each in outputs]).mean(0)
    assert torch.allclose(model.state_dict()["1.running_mean"], mean, atol=1e-6)

    def interrupted(model: nn.Module, norms: list[Any], batches: Iterator[torch.Tensor]) -> None:
        if (tmp_path / "d.state.pt").exists():  # after the last epoch, not in the calibration
            raise KeyboardInterrupt
        estimate(model, norms, batches)

    with monkeypatch.context() as patch:
        patch.setattr("integration.zoo.sliced_training.estimate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            short(tmp_path / "d.npz", integer.path, Sums.COMPARATOR, epochs=1, crop=0)
    assert (tmp_path / "d.state.pt").exists() and not (tmp_path / "d.npz").exists()
    again = short(tmp_path / "d.npz", integer.path, Sums.COMPARATOR, epochs=1, crop=0)
    assert again.path.read_bytes() == made.path.read_bytes() and again.card == made.card


@pytest.mark.whole
def test_what_a_users_layers_draw_is_seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout, in the calibration, the training and the settling, whatever torch's own generator drew before."""
    text = Path("sliced_tiny_network.py").read_text()
    Path("sliced_dropping_network.py").write_text(text.replace("nn.ReLU(),", "nn.ReLU(), nn.Dropout(0.3),", 1))
    monkeypatch.setattr(sys.modules[__name__], "NET", "sliced_dropping_network:net")
    path = tmp_path / "start.npz"
    checkpoint.save_state(path, networks.build(NET, classes=10, in_channels=1).state_dict())
    integer = short(tmp_path / "i.npz", path, Sums.INTEGER, epochs=1)
    made = []
    for i in range(2):
        torch.manual_seed(i)
        made.append(short(tmp_path / f"{i}.npz", integer.path, Sums.COMPARATOR, epochs=1).path.read_bytes())
    assert made[0] == made[1]


@pytest.mark.whole
def test_a_budget_of_minutes_becomes_whole_epochs(tmp_path: Path, start: Path) -> None:
    made = short(tmp_path / "i.npz", start, Sums.INTEGER, epochs=None, minutes=0.05)
    assert 1 <= made.card.epochs < 1000 and len(made.card.curve) == made.card.epochs
    with pytest.raises(UserError, match="not both"):
        short(tmp_path / "x.npz", start, Sums.INTEGER, minutes=1.0)


def test_wrong_starts_are_refused(tmp_path: Path, start: Path) -> None:
    with pytest.raises(UserError, match="train it with integer sums first"):
        short(tmp_path / "x.npz", start, Sums.COMPARATOR)
    with pytest.raises(UserError, match="does not exist"):
        short(tmp_path / "x.npz", tmp_path / "none.npz", Sums.INTEGER)
    integer = short(tmp_path / "i.npz", start, Sums.INTEGER, epochs=1)
    with pytest.raises(UserError, match="checkpoint of another network"):
        load_sliced(integer.path, HCIM_WIDE, classes=10, channels=1, network=NET)
    assert not (tmp_path / "x.npz").exists()


@pytest.mark.whole
def test_calibration_alone_keeps_most_of_a_network(tmp_path: Path, start: Path) -> None:
    integer = short(tmp_path / "i.npz", start, Sums.INTEGER, epochs=6)
    model, _ = load_sliced(integer.path, HCIM_A, classes=10, channels=1, network=NET)
    data = datasets.load("digits", None, "train")
    calibrate(model, data.normalised(0, 512), Sums.COMPARATOR)
    assert accuracy(model, datasets.load("digits")) > 50
