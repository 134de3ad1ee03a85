"""A study's folder: the log that every finished point goes to, and the files made from it.

log.jsonl       a line a finished point, appended at once; the only file that is not made anew
results.jsonl   the study and its points sorted by hash: the same bytes wherever they were computed
runs.jsonl      beside it, what may differ: commands, versions, hosts, times
study.toml      the study as its author wrote it
report.html     tables and plots
lock            held while a sweep writes
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from integration.studies.log import Log
from integration.studies.sweep.job import Outcome
from integration.studies.sweep.task import Row
from integration.zoo.files import write_text

LAYOUT = 1
"""Version of the layout of all these files."""
LOG, RESULTS, RUNS = "log.jsonl", "results.jsonl", "runs.jsonl"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's folder for writing, made where missing; UserError where another sweep holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}; name another folder with -o") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            who = os.pread(file, 200, 0).decode(errors="replace").strip() or "a process"
            raise UserError(
                f"{folder} is in use by another sweep ({who}); wait for it, or name another folder"
            ) from error
        with suppress(OSError):  # only for the message above
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(file)  # which releases the lock, as the end of the process does


@dataclass(slots=True)
class Store:
    """The log of a study's folder, read."""

    log: Log
    outcomes: dict[str, Outcome]
    """The last outcome of each point, by hash."""
    runs: list[dict[str, Any]]
    """The commands that computed them."""

    @staticmethod
    def read(folder: Path) -> Store:
        """Read a folder's log; empty where there is none. Errors: UserError for one of a newer version, or none."""
        log = Log(folder / LOG, {"format": "nmpu sweep log", "version": LAYOUT})
        store = Store(log, {}, [])
        for record in log.records():
            if "run" in record:
                store.runs.append(record["run"])
            elif "hash" in record:
                known = {name: record[name] for name in Outcome.__dataclass_fields__ if name in record}
                store.outcomes[record["hash"]] = Outcome(**known)
        return store

    def begin(self, run: dict[str, Any]) -> None:
        """Note a command."""
        self.runs.append(run)
        self.log.append({"run": run})

    def keep(self, outcome: Outcome) -> None:
        """Keep a finished point: from here on it is not computed again."""
        self.outcomes[outcome.hash] = outcome
        self.log.append({key: value for key, value in asdict(outcome).items() if value not in (None, "", False)})


def provenance(command: str, executor: str, releases: Iterable[str]) -> dict[str, Any]:
    """Return what a run record holds: command, time, host, processor, versions."""
    versions = {"python": platform.python_version()}
    for name in ("nmpu", "numpy", "torch", *releases):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "command": command,
        "executor": executor,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": socket.gethostname(),
        "processor": processor(),
        "versions": versions,
    }


def processor() -> str:
    """Return the processor's name, as the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write JSON lines, whole or not at all."""
    write_text(path, "".join(json.dumps(record, sort_keys=True, allow_nan=False) + "\n" for record in records))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A point that failed."""

    hash: str
    place: int
    setting: dict[str, Any]
    error: str
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a study's folder shows: the content of results.jsonl and of runs.jsonl."""

    header: dict[str, Any]
    rows: tuple[Row, ...]
    failures: tuple[Failure, ...]
    runs: tuple[dict[str, Any], ...]
    times: dict[str, dict[str, Any]]
    """Seconds, host and process of each point, by hash."""


def read_results(folder: Path) -> Results:
    """Read a folder's results; UserError where there are none, or a newer version wrote them."""
    header, *records = _lines(folder / RESULTS, "nmpu results")
    beside, *times = _lines(folder / RUNS, "nmpu runs") if (folder / RUNS).exists() else [{"runs": []}]
    traces = {record["hash"]: record.get("trace", "") for record in times}
    try:
        good = [Row(**record) for record in records if "result" in record]
        bad = [Failure(**record, trace=traces.get(record["hash"], "")) for record in records if "error" in record]
    except TypeError as error:
        raise UserError(f"{folder / RESULTS} is damaged ({error}); give the sweep's command again") from error
    return Results(
        header=header,
        rows=tuple(good),
        failures=tuple(bad),
        runs=tuple(beside["runs"]),
        times={record["hash"]: record for record in times},
    )


def _lines(path: Path, kind: str) -> Sequence[dict[str, Any]]:
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror or error}; `nmpu sweep` writes it when a study is finished"
        ) from error
    except ValueError:
        records = []
    if not records or not all(isinstance(r, dict) for r in records) or records[0].get("format") != kind:
        raise UserError(f"{path} is no {kind} file; give the sweep's command again")
    if records[0].get("version", 0) > LAYOUT:
        raise UserError(f"{path} has layout {records[0]['version']}, this version reads {LAYOUT}: update nmpu")
    return records
