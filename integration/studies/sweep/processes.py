"""Local worker processes, a pipe each: a worker that dies takes one point with it, which is given to another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from integration.studies.sweep.job import Job, Outcome, Run, perform

TRIES = 3
"""How many workers may die with one point before it counts as failed."""
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
"""The variables by which numeric libraries size their thread pools when they are loaded."""


def _follow(parent: Any) -> None:
    """End this process when its parent has ended, whatever it is doing: a killed sweep leaves nobody behind."""
    wait([parent.sentinel])
    os._exit(1)


def _serve(pipe: Connection) -> None:
    """Compute jobs until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_follow, args=(multiprocessing.parent_process(),), daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            pipe.send(perform(pipe.recv()))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(slots=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    job: Job | None = None
    share: str | None = None
    """What its last job shares."""

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()
        self.process.close()


@dataclass(slots=True)
class _Queue:
    """Jobs by what they share. A worker goes on with its own kind, else takes the kind with the most jobs a worker."""

    kinds: dict[str, deque[Job]] = field(default_factory=dict)

    def put(self, job: Job) -> None:
        self.kinds.setdefault(job.share, deque()).append(job)

    def take(self, share: str | None, at_work: Sequence[str | None]) -> Job | None:
        if share not in self.kinds:
            # the first kind that nobody is at, else the longest
            free = next((kind for kind in self.kinds if kind not in at_work), None)
            share = free if free is not None else max(self.kinds, key=lambda k: len(self.kinds[k]), default=None)
        if share is None:
            return None
        job = self.kinds[share].popleft()
        if not self.kinds[share]:
            del self.kinds[share]
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Worker processes on this machine, each with its own threads."""

    workers: int
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.workers} processes of {self.threads} thread{'s' * (self.threads > 1)}"

    @contextmanager
    def open(self, task: str) -> Iterator[Run]:
        """Nothing to make ready: workers start with their first job."""
        yield self.run

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,))
        with _environment(dict.fromkeys(POOLS, str(self.threads))):
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def run(self, jobs: Sequence[Job]) -> Generator[Outcome]:
        """Yield outcomes as they come; a job whose worker dies is given to another, `TRIES` times in all."""
        queue, deaths = _Queue(), {job.hash: 0 for job in jobs}
        for waiting in jobs:
            queue.put(waiting)
        workers: list[_Worker] = []
        try:
            for _ in range(min(self.workers, len(jobs))):
                workers.append(self._start())
            while True:
                for worker in workers:
                    self._give(worker, queue, [other.share for other in workers])
                busy = {worker.pipe: worker for worker in workers if worker.job is not None}
                if not busy:
                    return
                for pipe in wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]  # only these pipes were waited for
                    job = worker.job
                    assert job is not None
                    worker.job = None
                    try:
                        yield worker.pipe.recv()
                    except (EOFError, OSError):
                        how = self._replace(workers, worker)
                        deaths[job.hash] += 1
                        if deaths[job.hash] < TRIES:
                            queue.put(job)
                        else:
                            text = f"the worker died with this point {TRIES} times ({how}); out of memory?"
                            yield Outcome(hash=job.hash, error=text)
        finally:
            for started in workers:
                started.stop()

    def _give(self, worker: _Worker, queue: _Queue, at_work: Sequence[str | None]) -> None:
        if worker.job is None and (job := queue.take(worker.share, at_work)) is not None:
            worker.job, worker.share = job, job.share
            with suppress(OSError):  # it died idle: reading from it tells so
                worker.pipe.send(job)

    def _replace(self, workers: list[_Worker], dead: _Worker) -> str:
        """Put a new worker in the place of a dead one; return how it died."""
        dead.process.join(5)
        code = dead.process.exitcode
        dead.stop()
        workers[workers.index(dead)] = self._start()
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
