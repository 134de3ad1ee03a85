"""The data sets, each split checked against what was published: shapes, label counts, and a hash of all images.

Images are uint8, (N, C, 32, 32); labels int64, (N,). The order is that of the files. `digits` comes with scikit-learn
and needs neither folder nor network.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden_model.errors import UserError
from integration.zoo.fetch import fetch
from integration.zoo.files import order_free_hash
from integration.zoo.sources import SOURCES, Arrays, Source, Split, source

__all__ = ["SOURCES", "Dataset", "Source", "Split", "check", "data_folder", "load", "normalise", "source"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """One split of a data set in memory."""

    name: str
    split: Split
    classes: int
    images: Tensor  # uint8 (N, C, 32, 32)
    labels: Tensor  # int64 (N,)
    mean: tuple[float, ...]  # per channel, of pixels / 255
    std: tuple[float, ...]  # likewise

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """Channels of an image: 1 or 3."""
        return int(self.images.shape[1])

    def first(self, count: int) -> "Dataset":
        """The same data set with its first `count` images only."""
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def normalised(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Images start..stop as the network takes them: float32 (pixel / 255 - mean) / std, shape (n, C, 32, 32)."""
        return normalise(self.images[start:stop], self.mean, self.std)


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(pixel / 255 - mean) / std per channel, float32, for uint8 images (N, C, H, W)."""
    shape = (1, -1, 1, 1)
    centre = torch.tensor(mean, dtype=torch.float32, device=images.device).view(shape)
    spread = torch.tensor(std, dtype=torch.float32, device=images.device).view(shape)
    return (images.to(torch.float32) / 255 - centre) / spread


def _split_digits(arrays: Arrays, split: Split) -> Arrays:
    """Sort by class (stably), then every fourth image, the first included, is a test image: 1,347 and 450."""
    order = np.argsort(arrays[1], kind="stable")
    test = np.arange(len(order)) % 4 == 0
    chosen = np.sort(order[test if split is Split.TEST else ~test])
    return arrays[0][chosen], arrays[1][chosen]


def data_folder(folder: Path | None) -> Path | None:
    """The folder that the user named: the argument, else the environment variable NMPU_DATA, else None."""
    named = folder or os.environ.get("NMPU_DATA") or None
    return Path(named).expanduser() if named else None


def _locate(known: Source, folder: Path | None, split: Split) -> list[Path]:
    root = data_folder(folder)
    if root is None:
        if not known.archives:
            return []
        raise UserError(
            f"data set {known.name} needs a folder: name one that holds {known.layout}, or an empty one to fetch it "
            "into, with --data or NMPU_DATA (digits needs none)"
        )
    paths = known.find(root, split)
    if paths is None:
        try:
            fetch(known.archives, root)
        except UserError as error:
            raise UserError(
                f"data set {known.name} ({split}) is not in {root}: looked for {known.layout}; {error}; "
                "put the published files there, or name another folder with --data or NMPU_DATA"
            ) from error
        paths = known.find(root, split)
        if paths is None:
            raise UserError(f"data set {known.name} was fetched into {root} but lacks {known.layout}")
    return paths


def check(known: Source, split: Split, arrays: Arrays, where: str) -> None:
    """Refuse arrays that are not the published split: shape, images of each class, order-free hash; UserError."""
    images, labels = arrays
    wanted = known.counts[split]
    counts = (wanted,) * known.classes if isinstance(wanted, int) else wanted
    mend = "delete it and fetch the data set again"
    if len(images) != sum(counts) or len(labels) != sum(counts):
        raise UserError(
            f"{where}: {len(images)} images and {len(labels)} labels, {known.name} has {sum(counts)} ({split}); {mend}"
        )
    inside = labels.min() >= 0 and labels.max() < known.classes
    if not inside or tuple(np.bincount(labels, minlength=known.classes)) != counts:
        raise UserError(f"{where}: images of each class are not as in {known.name} ({split}); {mend}")
    if order_free_hash(images, labels) != known.hashes[split]:
        raise UserError(f"{where}: images or labels are not those of {known.name} ({split}), hash differs; {mend}")


def _to_32(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """8x8 repeated 4 times each way, 28x28 inside a border of 2 zeros, 32x32 as it is."""
    if images.shape[-1] == 8:
        return images.repeat(4, axis=2).repeat(4, axis=3)
    if images.shape[-1] == 28:
        return np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    return images


def load(name: str, folder: Path | None = None, split: Split | str = Split.TEST) -> Dataset:
    """Read one split of a data set, checked.

    `folder` (or NMPU_DATA) holds the standard layout; what is missing is fetched into it where the network allows.

    Errors: UserError, in one line, for an unknown name, a missing folder or file, and data that are not those
    published.
    """
    known = source(name)
    if split not in set(Split):
        raise UserError(f"unknown split {split!r}: allowed are {', '.join(Split)}")
    split = Split(split)
    paths = _locate(known, folder, split)
    arrays = known.read(paths)
    if name == "digits":
        arrays = _split_digits(arrays, split)
    check(known, split, arrays, str(paths[0].parent) if paths else known.layout)
    images = torch.from_numpy(np.ascontiguousarray(_to_32(arrays[0])))
    return Dataset(
        name=name,
        split=split,
        classes=known.classes,
        images=images,
        labels=torch.from_numpy(arrays[1]),
        mean=known.mean,
        std=known.std,
    )
