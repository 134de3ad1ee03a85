"""Fetch a published data set into a folder: md5 checked, whole or not at all."""

import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from golden_model.errors import UserError
from integration.zoo.files import atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A published file: its address, its md5, and the path it gets (or, for a tar, leaves) under the data folder."""

    url: str
    md5: str
    leaves: str


TIMEOUT = 20.0
"""Seconds without an answer after which the network counts as closed."""


def _download(archive: Archive, target: Path) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(archive.url, timeout=TIMEOUT) as source, Progress(transient=True) as progress:
        length = source.headers.get("Content-Length")
        task = progress.add_task(f"fetching {archive.url.rpartition('/')[2]}", total=int(length) if length else None)
        with target.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
                digest.update(block)
                progress.advance(task, len(block))
    if digest.hexdigest() != archive.md5:
        raise OSError(f"md5 {digest.hexdigest()}, expected {archive.md5}")


def _unpack(packed: Path, archive: Archive, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=folder) as scratch:
        with tarfile.open(packed) as tar:
            tar.extractall(scratch, filter="data")
        target = folder / archive.leaves
        if target.exists():
            shutil.move(target, Path(scratch) / "replaced")
        os.replace(Path(scratch) / archive.leaves, target)


def fetch(archives: tuple[Archive, ...], folder: Path) -> None:
    """Bring every archive into `folder`, which is made if need be.

    Errors: UserError where the network, the md5 or the disk does not allow it; nothing half-written stays.
    """
    made = not folder.exists()
    try:
        _fetch(archives, folder)
    finally:
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _fetch(archives: tuple[Archive, ...], folder: Path) -> None:
    for archive in archives:
        is_tar = archive.url.endswith((".tar.gz", ".tgz"))
        target = folder / (archive.url.rpartition("/")[2] if is_tar else archive.leaves)
        try:
            with atomic(target) as temporary:
                _download(archive, temporary)
            if is_tar:
                _unpack(target, archive, folder)
                target.unlink()
        except UserError:
            raise
        except (OSError, tarfile.TarError) as error:
            raise UserError(f"fetching {archive.url} failed ({getattr(error, 'reason', error)})") from error
