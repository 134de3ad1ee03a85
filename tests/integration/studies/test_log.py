"""The log: what a kill, a full disk, a second writer and a foreign file do to it."""

import errno
import json
import os
from pathlib import Path

import pytest

from golden_model.errors import UserError
from integration.studies.log import Log, OtherFileError

HEADER = {"format": "test log", "version": 2}


def test_records_come_back_in_order(tmp_path: Path) -> None:
    log = Log(tmp_path / "a" / "log", HEADER)
    assert list(log.records()) == []
    for number in range(3):
        log.append({"n": number})
    assert [r["n"] for r in Log(log.path, HEADER).records()] == [0, 1, 2]
    assert log.path.read_text().splitlines()[0] == json.dumps(HEADER)


def test_a_kill_at_every_byte_loses_the_last_record_alone(tmp_path: Path) -> None:
    """Cut the file after each byte, as a kill within a write would: what was whole stands, and writing goes on."""
    whole = Log(tmp_path / "log", HEADER)
    for number in range(2):
        whole.append({"n": number})
    content = whole.path.read_bytes()
    ends = [content.index(b"\n", content.index(f'"n": {n}'.encode())) for n in range(2)]
    for cut in range(len(content) + 1):
        log = Log(tmp_path / "cut", HEADER)
        log.path.write_bytes(content[:cut])
        standing = [n for n, end in enumerate(ends) if cut >= end]
        assert [r["n"] for r in log.records()] == standing, cut
        log.append({"n": 9})
        assert [r["n"] for r in log.records()] == [*standing, 9], cut


def test_two_writers_share_a_log(tmp_path: Path) -> None:
    logs = [Log(tmp_path / "log", HEADER) for _ in range(2)]
    for number in range(10):
        logs[number % 2].append({"n": number})
    assert [r["n"] for r in logs[0].records()] == list(range(10))


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills in the middle of a record: the half is taken back, the next one is whole."""
    log = Log(tmp_path / "log", HEADER)
    log.append({"n": 0})
    before, write = log.path.read_bytes(), os.write

    def half(file: int, data: bytes) -> int:
        if len(data) > 4:
            return write(file, data[: len(data) - 4])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(UserError, match=r"cannot write .*log: No space left on device"):
            log.append({"n": 1})
    assert log.path.read_bytes() == before
    log.append({"n": 2})
    assert [r["n"] for r in log.records()] == [0, 2]


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for content, message in (
        (b'{"x', "is no test log"),
        (b"precious\n", "is no test log"),
        (b'{"format": "other", "version": 2}\n', "is no test log"),
        (b'{"format": "test log", "version": 2, "key": 1}\n', "is another test log"),
    ):
        path.write_bytes(content)
        with pytest.raises(OtherFileError, match=message):
            list(Log(path, HEADER).records())
        assert path.read_bytes() == content
    path.write_bytes(b'{"format": "test log", "version": 3}\n')
    with pytest.raises(UserError, match="has layout 3, this version reads 2: update nmpu"):
        list(Log(path, HEADER).records())
    with pytest.raises(UserError, match="cannot be read"):
        list(Log(tmp_path, HEADER).records())
