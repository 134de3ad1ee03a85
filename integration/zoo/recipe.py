"""What decides the weights that a training ends in."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from golden_model.configuration import plain
from golden_model.errors import UserError
from sim.tile import Tile

EPOCHS = {"digits": 60, "mnist": 8, "cifar10": 60, "cifar100": 60}
"""Epochs where the caller names none."""


def within(limits: Mapping[str, tuple[float, float]], settings: object) -> None:
    """Refuse (UserError) fields outside their limits, both inclusive."""
    for name, (low, high) in limits.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise UserError(f"training: {name} is {value}, allowed are {low}..{high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every training has; each field is the argument of `train` of that name."""

    network: str
    dataset: str
    epochs: int
    batch: int = 128
    seed: int = 0
    crop: int = 4  # pixels of padding of the random crops
    flip: bool = True  # mirror half of the images
    cutout: int = 6  # side of the square that is blanked
    bf16: bool = False  # autocast to bfloat16
    quick: bool = False  # a try-out: few images, few epochs

    def __post_init__(self) -> None:
        limits = {
            "epochs": (1, 100_000),
            "batch": (2, 65_536),
            "seed": (0, 2**32 - 1),
            "crop": (0, 16),
            "cutout": (0, 32),
        }
        within(limits, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Settings):
    """Everything that decides the weights of a float network."""

    peak_lr: float = 0.3
    warm_up: float = 0.2  # part of all steps in which the learning rate rises
    momentum: float = 0.9  # Nesterov
    weight_decay: float = 5e-4  # of convolution and linear weights only
    label_smoothing: float = 0.0
    start: str = ""  # hash of the checkpoint that it starts from, if any

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        limits = {
            "peak_lr": (1e-6, 100.0),
            "warm_up": (0.0, 1.0),
            "momentum": (0.0, 0.9999),
            "weight_decay": (0.0, 1.0),
            "label_smoothing": (0.0, 0.99),
        }
        within(limits, self)
        if self.momentum == 0:
            raise UserError("training: momentum is 0, Nesterov's method needs more; the usual value is 0.9")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyRecipe(Recipe):
    """Everything that decides the weights of a float network trained under the noise of a tile."""

    preset: str  # the tile's name
    tile: str  # and a hash of its fields
    weight_noise: float | None = None  # None: that of the tile's devices
    read_noise: str = "results"  # or "weights": where their read noise is drawn
    output_noise: float = 0.0
    clip: float = 2.0

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if 0 < self.clip < 1.5:
            raise UserError(
                f"training: clip is {self.clip}: 0 (nowhere) or 1.5..100; a lower limit moves with what it cuts, and "
                "the weights with it to 0"
            )
        limits = {"output_noise": (0.0, 10.0), "clip": (0.0, 100.0)}
        within(limits | ({} if self.weight_noise is None else {"weight_noise": (0.0, 10.0)}), self)


def file_hash(path: Path) -> str:
    """Return the hash of a checkpoint by which a recipe knows it; UserError where there is no such file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        raise UserError(f"checkpoint {path} does not exist; check the path") from None


def tile_hash(tile: Tile) -> str:
    """Return the hash of a tile's fields by which a recipe knows it."""
    return hashlib.sha256(json.dumps(plain(tile), sort_keys=True).encode()).hexdigest()[:16]


def one_cycle(progress: float, peak: float, warm_up: float) -> float:
    """Learning rate after a fraction `progress` of all steps: cosine from peak / 25 to peak, then cosine to 0."""
    if progress < warm_up:
        return peak * (1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress / warm_up)) / 2)
    return peak * (1 + math.cos(math.pi * (progress - warm_up) / max(1 - warm_up, 1e-9))) / 2


def fast_bf16() -> bool:
    """Whether bfloat16 is worth while here: a CUDA device that has it, or a processor with AMX tiles."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "amx_bf16" in flags.read_text(encoding="utf-8", errors="replace")
