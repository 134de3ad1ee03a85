"""Weights on disk: npz, safetensors, or torch's format without code; checked by name, shape and value.

A checkpoint is a state dict of float32 arrays under the parameter names of the network. Two rules let the public ones
in: a `module.` prefix (from DataParallel) is dropped, and `num_batches_tracked` is neither needed nor kept (it acts
only without a momentum). Beside a checkpoint NAME.npz the sidecar NAME.json, a `Card`, says what it is.
"""

import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.zoo import networks
from integration.zoo.files import atomic

FOLDER = Path(__file__).parent / "checkpoints"
"""Where the checkpoints that we ship stand."""
_TORCH = (".pt", ".pth", ".th")
_SUFFIXES = (".npz", ".safetensors", *_TORCH)
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a checkpoint is: the sidecar beside it."""

    network: str  # a name that `networks.build` takes
    dataset: str
    classes: int
    in_channels: int
    mean: tuple[float, ...]  # per channel, of pixels / 255
    std: tuple[float, ...]  # likewise
    parameters: int  # trained parameters
    accuracy: float  # top-1 in %, FP32, full test set (its first 1,280 images if recipe.quick)
    seed: int
    epochs: int
    recipe: dict[str, Any] = field(default_factory=dict)  # the arguments of `train` that made it
    curve: list[dict[str, float]] = field(default_factory=list)  # per epoch: learning rate, loss, training accuracy


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without `module.`, no counters."""
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return {name: value for name, value in state.items() if not name.endswith(_COUNTER)}


def _read(path: Path) -> Any:
    if path.suffix == ".npz":
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name], order="C")) for name in archive.files}
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]  # as akamaster's and many training scripts write it
    return content


def load_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, names plain, floating point as float32.

    Errors: UserError for an unknown suffix, a missing, truncated or damaged file, one that would run code, and one
    that holds something other than tensors by name, or NaN or Inf.
    """
    if path.suffix not in _SUFFIXES:
        raise UserError(f"checkpoint {path}: suffix {path.suffix!r} is unknown; allowed are {', '.join(_SUFFIXES)}")
    try:
        content = _read(path)
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist; check the path") from None
    except Exception as error:  # every reader has its own ways to fail on a damaged file
        detail = "it must hold weights only" if path.suffix in _TORCH else "it is truncated or damaged"
        raise UserError(
            f"checkpoint {path} cannot be read as {path.suffix} ({detail}: {type(error).__name__}); save it again"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"checkpoint {path} is no state dict (tensors by name); save model.state_dict()")
    state = {name: value.float() if value.is_floating_point() else value for name, value in _plain(content).items()}
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"checkpoint {path}: tensor {name!r} holds NaN or Inf; the training diverged, use another")
    return state


def save_state(path: Path, state: dict[str, Tensor]) -> None:
    """Write a state dict in the format of the suffix, whole or not at all; names plain.

    Errors: UserError for an unknown suffix or a folder that cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in _plain(state).items()}
    with atomic(path) as temporary:
        if path.suffix == ".npz":
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, value in plain.items():  # a fixed date: equal weights give equal files
                    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                    info.compress_type = zipfile.ZIP_DEFLATED
                    with archive.open(info, "w") as entry:
                        np.lib.format.write_array(entry, value.numpy(), allow_pickle=False)
        elif path.suffix == ".safetensors":
            safetensors.torch.save_file(plain, temporary)
        elif path.suffix in _TORCH:
            torch.save(plain, temporary)
        else:
            raise UserError(f"checkpoint {path}: suffix {path.suffix!r} is unknown; allowed are {', '.join(_SUFFIXES)}")


def load_into(model: nn.Module, path: Path) -> nn.Module:
    """Fill `model` with the checkpoint and return it in evaluation mode; every name and shape must agree.

    Errors: UserError as in `load_state`, or naming the first tensor that tells the networks apart.
    """
    state, own = load_state(path), _plain(model.state_dict())
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or extra or shapes:
        if shapes:
            name = shapes[0]
            what = f"{name!r} has shape {tuple(state[name].shape)}, the network needs {tuple(own[name].shape)}"
        elif missing:
            what = f"{missing[0]!r} is missing"
        else:
            what = f"{extra[0]!r} is not in the network"
        raise UserError(
            f"{path} is a checkpoint of another network: {what} ({len(missing)} missing, {len(extra)} unknown, "
            f"{len(shapes)} of another shape); name the network it was trained for"
        )
    model.load_state_dict(state, strict=False)
    return model.eval()


def write_card(path: Path, card: Card) -> None:
    """Write the sidecar of checkpoint `path`: the same name, suffix .json."""
    with atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")


def read_card(path: Path) -> Card | None:
    """The sidecar of checkpoint `path`, None where there is none; UserError for one that cannot be understood."""
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        return None
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
        known = {key: content[key] for key in (f.name for f in fields(Card)) if key in content}
        return Card(**{**known, "mean": tuple(known["mean"]), "std": tuple(known["std"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{sidecar} is no sidecar of a checkpoint ({type(error).__name__}: {error}); repair or remove it"
        ) from error


def shipped(network: str, dataset: str) -> Path | None:
    """The checkpoint that comes with the package for this network and data set, None where there is none."""
    path = FOLDER / f"{network}_{dataset}.npz"
    return path if path.is_file() else None


def named(path: Path) -> Path:
    """The file that a user names: a bare name, as resnet9s_cifar10, is one that ships unless there is such a file.

    Errors: UserError for a bare name that is neither.
    """
    if path.suffix or path.name != str(path) or path.exists():
        return path
    known = FOLDER / f"{path}.npz"
    if not known.is_file():
        names = sorted(each.stem for each in FOLDER.glob("*.npz"))
        raise UserError(f"no checkpoint {path} is shipped: name a file, or one of {', '.join(names)}")
    return known


def restore(path: Path) -> tuple[nn.Module, Card]:
    """The network that a checkpoint's sidecar names, filled and in evaluation mode, and the sidecar.

    Errors: UserError without a sidecar, and as in `load_into`.
    """
    card = read_card(path)
    if card is None:
        raise UserError(
            f"{path} has no sidecar {path.with_suffix('.json').name}; name its network and its mean and std"
        )
    model = networks.build(card.network, classes=card.classes, in_channels=card.in_channels)
    return load_into(model, path), card
