"""A real Dask cluster on this machine: a scheduler and two workers, each a process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from golden_model.errors import UserError
from integration.studies.sweep.cluster import Cluster
from integration.studies.sweep.engine import Tally, sweep
from integration.studies.sweep.study import Study, parse

pytestmark = pytest.mark.whole

pytest.importorskip("distributed")

HERE = Path(__file__).parent
GRID = (
    "seeds = 5\n[base]\npause = 0.01\n[grid]\nshape.width = [1, 2, 3, 4, 5, 6, 7, 8]\n[[list]]\n[[list]]\nfail = true\n"
)


class Running:
    """A scheduler and its workers."""

    def __init__(self, folder: Path, *, workers: int, path: Path = HERE) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.path = os.pathsep.join([str(path), str(HERE.parents[2])])
        self.scheduler = self._start("scheduler", "--port", "0", "--host", "127.0.0.1")
        file, deadline = folder / "scheduler.json", time.monotonic() + 30
        while not (file.exists() and file.read_text().rstrip().endswith("}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            self.add()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": self.path, "LEDGER": str(self.folder / "ledger")}
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--no-dashboard", "--scheduler-file", "scheduler.json"],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def add(self) -> None:
        self.workers.append(self._start("worker", "--nthreads", "1", "--no-nanny"))

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("cluster"), workers=2)
    yield running
    running.stop()


def study(text: str = GRID) -> Study:
    return parse('task = "trivial_tasks:TRIVIAL"\n' + text, "s.toml", name="s")


def test_a_cluster_writes_the_same_file(tmp_path: Path, cluster: Running) -> None:
    sweep(study(), tmp_path / "here")
    results = sweep(study(), tmp_path / "there", executor=Cluster(address=cluster.address))
    assert len(results.rows) == 40 and len(results.failures) == 40
    here, there = ((tmp_path / name / "results.jsonl").read_bytes() for name in ("here", "there"))
    assert here == there
    assert {record["process"] for record in results.times.values()} == {w.pid for w in cluster.workers}
    ledger = cluster.folder / "ledger"
    before = ledger.stat().st_size
    assert len(sweep(study(), tmp_path / "there", executor=Cluster(address=cluster.address)).rows) == 40
    assert ledger.stat().st_size == before


def test_a_thousand_points_through_dask(tmp_path: Path, cluster: Running) -> None:
    """Bound 20 ms a point; 3 to 4 ms are usual."""
    text = f"seeds = 10\n[grid]\nshape.width = {[*range(1, 11)]}\nshape.height = {[*range(1, 11)]}\n"
    start = time.perf_counter()
    assert len(sweep(study(text), tmp_path, executor=Cluster(address=cluster.address)).rows) == 1000
    assert time.perf_counter() - start < 20


def test_a_worker_killed_in_the_middle(tmp_path: Path, cluster: Running) -> None:
    victim = cluster.workers.pop(0)

    def kill(tally: Tally) -> None:
        if tally.done == 10:
            victim.send_signal(signal.SIGKILL)

    sweep(study(), tmp_path / "here")
    results = sweep(study(), tmp_path / "there", executor=Cluster(address=cluster.address), progress=kill)
    victim.wait()
    cluster.add()
    assert (tmp_path / "here" / "results.jsonl").read_bytes() == (tmp_path / "there" / "results.jsonl").read_bytes()
    assert len({record["process"] for record in results.times.values()}) == 2


def test_workers_of_other_code_are_refused(tmp_path: Path) -> None:
    """The worker's trivial_tasks has one more line."""
    (tmp_path / "trivial_tasks.py").write_text((HERE / "trivial_tasks.py").read_text() + "# changed\n")
    running = Running(tmp_path, workers=1, path=tmp_path)
    try:
        with pytest.raises(
            UserError, match=r"worker tcp://.* has other code \(source [0-9a-f]{16}, here [0-9a-f]{16}\)"
        ):
            sweep(study(), tmp_path / "out", executor=Cluster(address=running.address))
    finally:
        running.stop()
    assert not (tmp_path / "out").exists()


def test_a_scheduler_lost_in_the_middle(tmp_path: Path) -> None:
    running = Running(tmp_path, workers=1)

    def kill(tally: Tally) -> None:
        if tally.done == 10:
            running.stop()

    try:
        with pytest.raises(UserError, match="is gone; the same command goes on"):
            sweep(study(), tmp_path / "out", executor=Cluster(address=running.address, patience=10), progress=kill)
    finally:
        running.stop()
    tallies: list[int] = []
    results = sweep(study(), tmp_path / "out", progress=lambda tally: tallies.append(tally.cached))
    assert len(results.rows) == 40 and tallies[0] >= 10


@pytest.mark.parametrize(
    ("address", "why"),
    [("tcp://127.0.0.1:1", r"within 10 s; .* \(OSError: Timed out"), ("no address at all", "ValueError: missing port")],
)
def test_no_scheduler(tmp_path: Path, address: str, why: str) -> None:
    """As a command: a client that never came up once held its exit back for 20 s, and told of that."""
    (tmp_path / "s.toml").write_text('task = "trivial_tasks:TRIVIAL"\nseeds = 2\n')
    path = os.pathsep.join([str(HERE), str(HERE.parents[2])])
    command = [sys.executable, "-m", "integration.cli", "sweep", "s.toml", "--scheduler", address]
    told = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert told.returncode == 2 and told.stderr.count("\n") == 1, told.stderr
    assert re.match(f"nmpu: no Dask scheduler answers at {address} .*{why}", told.stderr), told.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["s.toml"]


def test_something_else_that_listens_and_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(UserError, match=r"no Dask scheduler answers at .* within 0.5 s; .*TimeoutError"):
            sweep(study(), tmp_path / "out", executor=Cluster(address=address, patience=0.5))
        assert time.monotonic() - begun < 10


def test_no_workers(tmp_path: Path) -> None:
    running = Running(tmp_path, workers=0)
    try:
        with pytest.raises(UserError, match="has no workers; start some with `dask worker tcp://"):
            sweep(
                study(),
                tmp_path / "out",
                executor=Cluster(address=running.address, patience=60, patience_for_workers=0.5),
            )
    finally:
        running.stop()
    assert not (tmp_path / "out").exists()
