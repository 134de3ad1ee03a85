"""One point on its way to a worker and back: plain data, so that it travels between processes and hosts."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from golden_model.errors import UserError
from integration.studies.sweep.task import code_of, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A point to compute."""

    hash: str
    """The name of the result; a worker whose code would name it otherwise refuses."""
    task: str
    fields: dict[str, Any]
    """The configuration, nested fields as TOML gives them."""
    share: str
    """Jobs equal here share work."""
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A computed or failed point."""

    hash: str
    result: dict[str, Any] | None = None
    error: str | None = None
    """What went wrong, one line."""
    trace: str = ""
    """Where."""
    refused: bool = False
    """Whether the worker did not try: its code is another."""
    seconds: float = 0.0
    host: str = ""
    process: int = 0
    finished: float = 0.0
    """When, seconds since 1970."""


class Run(Protocol):
    """Computes jobs, in any order; closing the iterator stops what runs."""

    def __call__(self, jobs: Sequence[Job]) -> Generator[Outcome]:
        """Yield an outcome for each job as it is finished."""


class Executor(Protocol):
    """Where points are computed."""

    def open(self, task: str) -> AbstractContextManager[Run]:
        """Make ready for a task's jobs. Errors: UserError where that cannot be, before anything is computed."""

    def __str__(self) -> str:
        """Return what the report calls it."""


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its text for a user's mistake, with its type otherwise."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def limit_threads(threads: int) -> None:
    """Give torch this many threads, where torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def perform(job: Job, *, strange: bool = True) -> Outcome:
    """Compute a job. Whatever the task raises becomes the outcome's error; `strange`: the code may not be the sender's.

    KeyboardInterrupt and SystemExit pass.
    """
    start = time.perf_counter()
    outcome = Outcome(hash=job.hash)
    try:
        task = find(job.task)
        configuration = task.configuration(job.fields, "point")
        if strange and code_of(job.task).hash(task.content(configuration)) != job.hash:
            outcome = replace(outcome, error="other code or data", refused=True)
        else:
            limit_threads(job.threads)
            result = task.run(configuration)
            outcome = replace(outcome, result=json.loads(json.dumps(dict(result), allow_nan=False)))
    except Exception as error:  # a point that fails is a result: the sweep goes on with the others
        outcome = replace(outcome, error=one_line(error), trace=traceback.format_exc())
    return replace(
        outcome,
        seconds=round(time.perf_counter() - start, 6),
        host=socket.gethostname(),
        process=os.getpid(),
        finished=round(time.time(), 3),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """One point after another, here."""

    def __str__(self) -> str:
        return "in process"

    @contextmanager
    def open(self, task: str) -> Iterator[Run]:
        """Nothing to make ready."""
        yield lambda jobs: (perform(job, strange=False) for job in jobs)
