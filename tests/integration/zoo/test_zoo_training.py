import os
from pathlib import Path
from typing import Any

import pytest
import torch
from short_trainings import short
from short_trainings import tiny as tiny  # a fixture

from golden_model.errors import UserError
from integration.zoo import augment, checkpoint, datasets, run, training
from integration.zoo.recipe import Recipe, one_cycle
from integration.zoo.run import Run
from integration.zoo.sliced_training import restore
from integration.zoo.training import train


def weights(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load_state(path)


def stop_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    save = Run.save

    def interrupted(run: Any, path: Path) -> None:
        save(run, path)
        if run.done == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", interrupted)


def test_a_stopped_training_resumes_to_the_same_weights_and_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = short(tmp_path / "whole.npz")
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            short(tmp_path / "parts.npz")
    assert not (tmp_path / "parts.npz").exists() and (tmp_path / "parts.state.pt").exists()
    parts = short(tmp_path / "parts.npz")
    assert parts.card == whole.card
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not list(tmp_path.glob("*.state.pt"))
    again = short(tmp_path / "again.npz", seed=1)
    assert again.card.curve != whole.card.curve


def test_the_state_of_another_recipe_or_a_damaged_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, state = tmp_path / "x.npz", tmp_path / "x.state.pt"
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            short(output)
    with pytest.raises(UserError, match=r"another recipe .epochs 3 instead of 4.; remove"):
        short(output, epochs=4)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        short(output)
    assert short(output, resume=False).card.epochs == 3


def test_training_learns_and_records_what_it_did(tmp_path: Path) -> None:
    done = short(tmp_path / "x.npz", epochs=6, peak_lr=0.1, crop=0, cutout=0)
    assert done.card.curve[-1]["loss"] < 0.5 * done.card.curve[0]["loss"]
    assert done.card.accuracy > 80
    assert checkpoint.read_card(done.path) == done.card
    assert done.card.recipe["flip"] is False  # a mirrored digit is another digit
    model, card = checkpoint.restore(done.path)
    assert training.accuracy(model, datasets.load("digits")) == card.accuracy
    assert training.accuracy(model, datasets.load("digits"), batch=7) == card.accuracy


def test_threads_and_the_global_generator_are_left_as_they_were(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    short(tmp_path / "x.npz", epochs=1, threads=threads + 1)
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0, allowed are 1"),
        ({"batch": 1}, "batch is 1"),
        ({"batch": 5000}, "only 1280 images"),
        ({"peak_lr": -1.0}, "peak_lr is -1.0"),
        ({"peak_lr": float("nan")}, "peak_lr is nan"),
        ({"momentum": 0.0}, "momentum is 0"),
        ({"threads": 0}, "0 threads"),
        ({"seed": -1}, "seed is -1"),
        ({"peak_lr": 100.0, "weight_decay": 1.0, "epochs": 60}, "diverged"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        short(tmp_path / "x.npz", **changes)
    assert not (tmp_path / "x.npz").exists()


def test_other_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in .npz"):
        short(tmp_path / "x.pt")
    with pytest.raises(UserError, match="unknown data set"):
        train("resnet9s", "digit", output=tmp_path / "x.npz")


DROPOUT = """
from torch import nn
WIDTH = 8
def net(classes, in_channels):
    return nn.Sequential(nn.Conv2d(in_channels, WIDTH, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Dropout(),
                         nn.Linear(49 * WIDTH, classes))
"""


def test_what_a_users_layers_draw_comes_from_the_seed_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zoo_dropout.py").write_text(DROPOUT)
    monkeypatch.setattr("short_trainings.NET", "zoo_dropout:net")
    whole = short(tmp_path / "whole.npz").path.read_bytes()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert short(tmp_path / "again.npz").path.read_bytes() == whole
    assert torch.equal(torch.get_rng_state(), before)  # the caller's generator stands
    assert short(tmp_path / "other.npz", seed=1).path.read_bytes() != whole
    monkeypatch.setattr(run, "SAVE_SECONDS", -1.0)
    save, count = Run.save, [0]

    def stopping(own: Run, path: Path) -> None:
        save(own, path)
        count[0] += 1
        if count[0] in (4, 17):
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            short(tmp_path / "parts.npz")
    assert short(tmp_path / "parts.npz").path.read_bytes() == whole


def test_a_state_of_a_network_that_was_changed_since_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("integration.zoo.training.finish", stopped)
        with pytest.raises(KeyboardInterrupt):
            short(tmp_path / "x.npz")
    monkeypatch.setattr("zoo_tiny_network.net", lambda classes, in_channels: torch.nn.Linear(3, 3))
    with pytest.raises(UserError, match=r"x.state.pt belongs to another network of this name; remove"):
        short(tmp_path / "x.npz")


def test_one_cycle_rises_falls_and_ends_at_0() -> None:
    rates = [one_cycle(i / 100, 0.3, 0.2) for i in range(101)]
    assert rates[0] == pytest.approx(0.012) and max(rates) == rates[20] == 0.3 and rates[100] == 0
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert one_cycle(0, 0.3, 0.0) == 0.3
    with pytest.raises(UserError, match=r"warm_up is 1.5"):
        Recipe(network="resnet9s", dataset="digits", epochs=1, warm_up=1.5)


def test_crops_are_windows_of_the_padded_image() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (64, 8, 8, 3), dtype=torch.uint8)
    assert torch.equal(augment.crop_and_mirror(images, 0, False, generator), images)
    turned = augment.crop_and_mirror(images, 0, True, generator)
    same = (turned == images).flatten(1).all(1)
    mirrored = (turned == images.flip(2)).flatten(1).all(1)
    assert bool((same ^ mirrored).all()) and 16 < int(mirrored.sum()) < 48
    moved = augment.crop_and_mirror(images, 2, False, generator)
    padded = torch.nn.functional.pad(images, (0, 0, 2, 2, 2, 2))
    windows = torch.stack([padded[:, y : y + 8, x : x + 8] for y in range(5) for x in range(5)])
    hits = (windows == moved).flatten(2).all(2)
    assert bool(hits.any(0).all()) and int(hits.any(1).sum()) > 15


def test_cutout_blanks_one_square_inside_each_image() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.ones(32, 3, 16, 16)
    blanked = augment.cutout(images, 6, generator) == 0
    assert blanked.flatten(1).sum(1).tolist() == [3 * 36] * 32
    assert blanked.any(2).flatten(2).sum(2).eq(6).all() and blanked.any(3).flatten(2).sum(2).eq(6).all()
    assert augment.cutout(images, 0, generator) is images


SHIPPED = [
    pytest.param(path, id=path.stem, marks=() if path.stem.endswith("_digits") else pytest.mark.data)
    for path in sorted(checkpoint.FOLDER.glob("*.npz"))
]


@pytest.mark.parametrize("path", SHIPPED)
def test_shipped_accuracy_is_what_the_sidecar_says(path: Path) -> None:
    model, card = restore(path)
    if card.dataset != "digits" and "NMPU_DATA" not in os.environ:
        pytest.skip("NMPU_DATA names no folder with the real data sets")
    assert training.accuracy(model, datasets.load(card.dataset)) == pytest.approx(card.accuracy, abs=0.05)
