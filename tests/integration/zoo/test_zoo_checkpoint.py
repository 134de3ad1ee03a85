import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from golden_model.errors import UserError
from integration.zoo import checkpoint, networks
from integration.zoo.sliced_training import restore

SUFFIXES = [".npz", ".safetensors", ".pt", ".pth"]


def card(**changes: object) -> checkpoint.Card:
    values: dict[str, object] = {
        "network": "resnet9s",
        "dataset": "digits",
        "classes": 10,
        "in_channels": 1,
        "mean": (0.5,),
        "std": (0.25,),
        "parameters": 100_222,
        "accuracy": 12.5,
        "seed": 0,
        "epochs": 1,
    }
    return checkpoint.Card(**{**values, **changes})  # type: ignore[arg-type]  # any fields


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return networks.build("resnet9s", in_channels=1)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_weights_come_back_to_the_bit(tmp_path: Path, model: nn.Module, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    checkpoint.save_state(path, model.state_dict())
    other = checkpoint.load_into(networks.build("resnet9s", in_channels=1), path)
    x = torch.randn(2, 1, 32, 32)
    assert not other.training
    assert torch.equal(other(x), model.eval()(x))
    assert not any(name.endswith("num_batches_tracked") for name in checkpoint.load_state(path))


def test_equal_weights_give_equal_files(tmp_path: Path, model: nn.Module) -> None:
    for name in ("a.npz", "b.npz"):
        checkpoint.save_state(tmp_path / name, model.state_dict())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_data_parallel_prefix_wrapped_dictionaries_and_other_precisions_are_understood(
    tmp_path: Path, model: nn.Module
) -> None:
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "best_prec1": 91.7}, tmp_path / "x.th")
    checkpoint.load_into(networks.build("resnet9s", in_channels=1), tmp_path / "x.th")
    np.savez(tmp_path / "x.npz", **{name: value.double().numpy() for name, value in state.items()})
    loaded = checkpoint.load_state(tmp_path / "x.npz")
    assert "conv1.weight" in loaded and loaded["conv1.weight"].dtype == torch.float32


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files_are_refused(tmp_path: Path, model: nn.Module, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    checkpoint.save_state(path, model.state_dict())
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UserError, match="cannot be read") as caught:
        checkpoint.load_state(path)
    assert "\n" not in str(caught.value)


def test_files_that_would_run_code_or_hold_no_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"a": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(UserError, match="weights only"):
        checkpoint.load_state(tmp_path / "code.pt")
    np.savez(tmp_path / "code.npz", a=np.array([Path("x")], dtype=object))
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.load_state(tmp_path / "code.npz")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="no state dict"):
        checkpoint.load_state(tmp_path / "list.pt")
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.load_state(tmp_path / "absent.npz")
    with pytest.raises(UserError, match=r"suffix '.onnx' is unknown; allowed are .npz"):
        checkpoint.load_state(tmp_path / "net.onnx")
    with pytest.raises(UserError, match=r"suffix '.onnx' is unknown"):
        checkpoint.save_state(tmp_path / "net.onnx", {})
    assert not (tmp_path / "net.onnx").exists()


def test_a_checkpoint_of_another_network_is_told_in_one_line(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "net.npz"
    checkpoint.save_state(path, model.state_dict())
    with pytest.raises(UserError, match=r"another network: 'conv1.weight' has shape \(28, 1, 3, 3\)") as caught:
        checkpoint.load_into(networks.build("resnet9s"), path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="another network"):
        checkpoint.load_into(networks.build("resnet20"), path)
    state = model.state_dict()
    del state["fc.bias"]
    checkpoint.save_state(path, state)
    with pytest.raises(UserError, match=r"'fc.bias' is missing"):
        checkpoint.load_into(model, path)
    checkpoint.save_state(path, {**model.state_dict(), "extra": torch.zeros(1)})
    with pytest.raises(UserError, match="'extra' is not in the network"):
        checkpoint.load_into(model, path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, model: nn.Module, bad: float) -> None:
    state = model.state_dict()
    state["res1.bn2.running_var"][3] = bad
    checkpoint.save_state(tmp_path / "net.npz", state)
    with pytest.raises(UserError, match=r"'res1.bn2.running_var' holds NaN or Inf"):
        checkpoint.load_state(tmp_path / "net.npz")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.npz"
    checkpoint.save_state(path, {"a": torch.ones(3)})
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(UserError, match="No space left on device; make room"):
        checkpoint.save_state(path, model.state_dict())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]
    with pytest.raises(UserError, match="cannot write"):
        checkpoint.save_state(path / "below_a_file" / "net.npz", {})


def test_cards_come_back_and_damaged_ones_are_refused(tmp_path: Path, model: nn.Module) -> None:
    path = tmp_path / "net.npz"
    assert checkpoint.read_card(path) is None
    checkpoint.save_state(path, model.state_dict())
    with pytest.raises(UserError, match="no sidecar"):
        checkpoint.restore(path)
    checkpoint.write_card(path, card())
    assert checkpoint.read_card(path) == card()
    assert checkpoint.restore(path)[1] == card()
    for text in ("{", "[]", "{}", json.dumps({"network": "resnet9s", "mean": [0], "std": [1]})):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(UserError, match="no sidecar of a checkpoint"):
            checkpoint.read_card(path)


def test_every_shipped_checkpoint_loads_and_says_what_it_is() -> None:
    found = sorted(checkpoint.FOLDER.glob("*.npz"))
    assert checkpoint.shipped("resnet9s", "digits") in found
    assert checkpoint.shipped("resnet9s", "nothing") is None
    for path in found:
        model, known = restore(path)
        name = f"{known.network}_{known.dataset}"
        if "preset" in known.recipe:  # trained on a tile
            name += f"_{known.recipe['preset']}"
        if "sums" in known.recipe:  # a bit-sliced one
            kind = "ternary" if known.recipe["ternary"] else "binary"
            name += f"_{'integer' if known.recipe['sums'] == 'integer' else kind}"
        assert path.stem == name
        assert networks.parameters(model) == known.parameters
        assert len(known.curve) == known.epochs and not known.recipe["quick"]
        assert {value.dtype for value in checkpoint.load_state(path).values()} == {torch.float32}
