"""Files that appear whole or not at all, a user's modules, and the hash that names images whatever their order."""

import errno
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError


@contextmanager
def importing_from_here() -> Iterator[None]:
    """Let Python find modules in the current folder first, where a user's network or task stands."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` to write to; it takes the name `path` when the block ends without an error.

    Missing folders are made. Errors: UserError where the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; name a folder that can be written") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:  # others are the block's own: a download that failed
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EISDIR):
            raise
        raise UserError(f"cannot write {path}: {error.strerror}; make room, or name another place") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all. Errors: as `atomic`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_folder(folder: Path, texts: Mapping[str, str]) -> None:
    """Write a folder of text files, whole or not at all; one that holds exactly these files is left as it is.

    Errors: UserError where the folder holds anything else, is a file, or cannot be written.
    """
    wanted = {name: text.encode() for name, text in texts.items()}
    try:
        if folder.is_dir() and (found := list(folder.iterdir())):
            if {each.name: each.is_file() and each.read_bytes() for each in found} == wanted:
                return
            raise UserError(f"{folder}: there is something else already; name a new folder")
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; name a new folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            made = Path(name) / "made"
            made.mkdir()
            for file, content in wanted.items():
                (made / file).write_bytes(content)
            os.replace(made, folder)  # an empty folder gives way
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; make room, or name another folder") from error


def writable(path: Path) -> None:
    """Refuse (UserError) a file that cannot be written before hours are spent on its content."""
    with atomic(path.with_name(f".{path.name}.probe")) as temporary:
        probe = temporary.with_name(f".{path.name}.probe")
    probe.unlink(missing_ok=True)


_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # splitmix64's finaliser


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _MIX[0]
    words = (words ^ (words >> np.uint64(27))) * _MIX[1]
    return words ^ (words >> np.uint64(31))


def order_free_hash(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """16 hex digits that name the pairs (image, label), in any order: sum over images of mix(c . image + mix(label)).

    The bytes of an image are read as little-endian 64-bit words, all arithmetic is modulo 2^64. It finds damaged or
    exchanged images and labels; it is not meant against an adversary.
    """
    count, size = len(images), images[0].size
    words = np.zeros((count, -(-size // 8) * 8), np.uint8)
    words[:, :size] = images.reshape(count, size)
    view = words.view("<u8").astype(np.uint64, copy=False)
    coefficients = _mix(np.arange(1, view.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    digests = _mix(view @ coefficients + _mix(labels.astype(np.uint64) + np.uint64(1)))
    return f"{int(digests.sum(dtype=np.uint64)):016x}"
