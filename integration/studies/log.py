"""An append-only file of JSON lines that survives a kill at any moment, a full disk, and two writers at once.

The first line is the header: what the file is, and the version of its layout. Each record is one write under the file's
lock. A line that a killed writer left half is skipped by every reader and closed by the next writer.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from golden_model.errors import UserError

SYNC_SECONDS = 1.0
"""How often records are forced to the disk: a power cut loses no more than this (a kill loses nothing)."""


class OtherFileError(UserError):
    """The file is something else than what the header says."""


class Log:
    """Records in a file at `path`. `header` names the file: its `format`, its `version`, and what else must agree.

    Records are dictionaries of plain data. Nothing stays open between calls.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.header = dict(header)
        self._synced = 0.0

    @property
    def _first_line(self) -> bytes:
        return json.dumps(self.header).encode() + b"\n"

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the records that stand, oldest first; none where there is no file yet.

        Errors: UserError where the file cannot be read or was written by a newer version; OtherFileError where it is
        something else.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror or error}") from error
        first, newline, rest = content.partition(b"\n")
        if not newline and self._first_line.startswith(first):
            return  # empty, or killed within the header
        self._check(first)
        for line in rest.split(b"\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue  # empty, or half written by a killed process
            if isinstance(record, dict):
                yield record

    def _check(self, first: bytes) -> None:
        try:
            found = json.loads(first)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("format") != self.header["format"]:
            raise OtherFileError(f"{self.path} is no {self.header['format']}; name another folder, or move it away")
        if isinstance(found.get("version"), int) and found["version"] > self.header["version"]:
            raise UserError(
                f"{self.path} has layout {found['version']}, this version reads {self.header['version']}: "
                "update nmpu, or name another folder"
            )
        if found != self.header:
            raise OtherFileError(f"{self.path} is another {found['format']}; name another folder, or move it away")

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record: it stands whole, or not at all.

        Errors: UserError where the disk is full or the file cannot be written; what stood before still stands.
        """
        line = json.dumps(record, allow_nan=False).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._write(file, line)
            finally:
                os.close(file)
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror or error}; what was written before is kept"
            ) from error

    def _write(self, file: int, line: bytes) -> None:
        size = os.fstat(file).st_size
        start = os.pread(file, len(self._first_line), 0)
        if not start.endswith(b"\n") and size < len(self._first_line) and self._first_line.startswith(start):
            os.ftruncate(file, 0)
            size, line = 0, self._first_line + line
        elif os.pread(file, 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            done = 0
            while done < len(line):
                done += os.write(file, line[done:])
        except OSError:
            os.ftruncate(file, size)
            raise
        now = time.monotonic()
        if now - self._synced >= SYNC_SECONDS:
            os.fsync(file)
            self._synced = now
