"""Where each data set was published, how its files lie in a folder, and what its images must add up to."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError
from integration.zoo.fetch import Archive
from integration.zoo.readers import read_cifar, read_idx

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


class Split(StrEnum):
    """Which part of a data set."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is known of a data set before it is read."""

    name: str
    classes: int
    channels: int
    mean: tuple[float, ...]  # of the training pixels / 255, per channel, as the network is fed
    std: tuple[float, ...]  # likewise
    mirror: bool  # whether a mirrored image is still of its class
    layout: str  # the files under the data folder, for messages
    counts: dict[Split, int | tuple[int, ...]]  # images of each class; one number where all are equal
    hashes: dict[Split, str]  # `order_free_hash` of images as published and labels
    archives: tuple[Archive, ...]  # where it was published
    find: Callable[[Path, Split], list[Path] | None]  # the files of a split, None where they are not there
    read: Callable[[list[Path]], Arrays]  # images as published (N, C, H, W) and labels


def _digits(_: list[Path]) -> Arrays:
    from sklearn.datasets import load_digits  # takes a second to import, and only this set needs it

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    return images, bunch.target.astype(np.int64)


def _in_folder(folder: str, train: list[str], test: list[str]) -> Callable[[Path, Split], list[Path] | None]:
    def find(root: Path, split: Split) -> list[Path] | None:
        names = train if split is Split.TRAIN else test
        for place in (root / folder, root):
            if all((place / name).is_file() for name in names):
                return [place / name for name in names]
        return None

    return find


def _find_mnist(root: Path, split: Split) -> list[Path] | None:
    stem = "train" if split is Split.TRAIN else "t10k"
    for place in (root / "MNIST" / "raw", root / "raw", root):
        found = []
        for name in (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"):
            found += [path for path in (place / name, place / f"{name}.gz") if path.is_file()][:1]
        if len(found) == 2:
            return found
    return None


def _read_mnist(paths: list[Path]) -> Arrays:
    images, labels = read_idx(paths[0]), read_idx(paths[1])
    if images.ndim != 3 or labels.ndim != 1:
        raise UserError(f"{paths[0]} and {paths[1].name} are no MNIST images and labels; fetch the data set again")
    return images[:, None], labels.astype(np.int64)


def _mnist(name: str, md5: str) -> Archive:
    return Archive(url=f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", md5=md5, leaves=f"MNIST/raw/{name}")


_TORONTO = "https://www.cs.toronto.edu/~kriz/"
_SOURCES = (
    Source(
        name="digits",
        classes=10,
        channels=1,
        mean=(0.3057,),
        std=(0.3761,),
        mirror=False,
        layout="part of scikit-learn",
        counts={
            Split.TRAIN: (133, 137, 132, 138, 135, 137, 136, 134, 130, 135),
            Split.TEST: (45, 45, 45, 45, 46, 45, 45, 45, 44, 45),
        },
        hashes={Split.TRAIN: "e8a2ff34f3219e10", Split.TEST: "de98c7da9b8ccc0e"},
        archives=(),
        find=lambda _root, _split: [],
        read=_digits,
    ),
    Source(
        name="mnist",
        classes=10,
        channels=1,
        mean=(0.1,),
        std=(0.2752,),
        mirror=False,
        layout="MNIST/raw/*-ubyte[.gz]",
        counts={
            Split.TRAIN: (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
            Split.TEST: (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        },
        hashes={Split.TRAIN: "4c1e8b7477960b43", Split.TEST: "ee43197d9a06f46e"},
        archives=(
            _mnist("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            _mnist("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            _mnist("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            _mnist("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        find=_find_mnist,
        read=_read_mnist,
    ),
    Source(
        name="cifar10",
        classes=10,
        channels=3,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.247, 0.2435, 0.2616),
        mirror=True,
        layout="cifar-10-batches-py/{data_batch_1..5, test_batch}",
        counts={Split.TRAIN: 5000, Split.TEST: 1000},
        hashes={Split.TRAIN: "f71a3b1d4e68796c", Split.TEST: "c1f7f66be6c26d09"},
        archives=(
            Archive(
                url=_TORONTO + "cifar-10-python.tar.gz",
                md5="c58f30108f718f92721af3b95e74349a",
                leaves="cifar-10-batches-py",
            ),
        ),
        find=_in_folder("cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]),
        read=lambda paths: read_cifar(paths, "labels"),
    ),
    Source(
        name="cifar100",
        classes=100,
        channels=3,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        mirror=True,
        layout="cifar-100-python/{train, test}",
        counts={Split.TRAIN: 500, Split.TEST: 100},
        hashes={Split.TRAIN: "79574f564c8badb6", Split.TEST: "4d0375d43e10908e"},
        archives=(
            Archive(
                url=_TORONTO + "cifar-100-python.tar.gz",
                md5="eb9058c3a382ffc7106e4002c42a8d85",
                leaves="cifar-100-python",
            ),
        ),
        find=_in_folder("cifar-100-python", ["train"], ["test"]),
        read=lambda paths: read_cifar(paths, "fine_labels"),
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _SOURCES}
"""The data sets by name."""


def source(name: str) -> Source:
    """What is known of data set `name`; UserError, with the nearest name, for an unknown one."""
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown data set {name!r}: {hint}allowed are {', '.join(SOURCES)}")
    return SOURCES[name]
