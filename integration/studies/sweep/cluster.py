"""A Dask cluster: points go to whatever workers stand at a scheduler's address."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from golden_model.errors import UserError
from integration.studies.sweep.job import Job, Outcome, Run, one_line, perform
from integration.studies.sweep.task import Code, code_of

AHEAD = 16
"""Jobs that wait at the cluster for each thread: enough that none idles, few enough that memory stays small."""


def _code(task: str) -> Code | str:
    """Return the code that a worker would compute with, or why it cannot."""
    try:
        return code_of(task)
    except Exception as error:  # told to the client, who says which worker
        return one_line(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The workers of a running Dask scheduler. They must have the same code as the client."""

    address: str
    """The scheduler's, as tcp://host:8786."""
    threads: int = 1
    """Threads of torch in each point."""
    patience: float = 10.0
    """How long to wait for the scheduler, s."""
    patience_for_workers: float = 15.0
    """How long to wait for its first worker, s."""

    def __str__(self) -> str:
        return f"Dask cluster at {self.address}"

    @contextmanager
    def open(self, task: str) -> Iterator[Run]:
        """Connect.

        Errors: UserError without Dask, without a scheduler at the address, without workers, or with workers of another
        code.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise UserError("--scheduler needs Dask: pip install 'nmpu[cluster]'") from error
        for name in ("distributed.client", "distributed.comm", "distributed.core"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # a lost connection is told in our own words
        try:
            with ThreadPoolExecutor(1) as apart:  # a notebook has an event loop of its own here
                apart.submit(lambda: asyncio.run(self._knock())).result()
            client = Client(self.address, timeout=self.patience, set_as_default=False)
        except Exception as error:  # whatever the address leads to
            raise UserError(
                f"no Dask scheduler answers at {self.address} within {self.patience:g} s; start one with "
                f"`dask scheduler`, and give the address that it prints ({one_line(error)})"
            ) from error
        try:
            self._check(client, task)
            yield lambda jobs: self._run(client, jobs)
        finally:
            client.close(timeout=5)

    async def _knock(self) -> None:
        """See whether a scheduler answers: a client that never came up leaves threads that hold the exit back."""
        from distributed.comm.core import connect

        if "://" in self.address and not self.address.startswith("tcp://"):
            return  # encrypted and other ways in are the client's own affair
        comm = await asyncio.wait_for(connect(self.address, timeout=self.patience), self.patience + 1)
        await comm.close()

    def _check(self, client: Any, task: str) -> None:
        try:
            client.wait_for_workers(1, timeout=self.patience_for_workers)
        except Exception as error:
            raise UserError(
                f"the scheduler at {self.address} has no workers; start some with `dask worker {self.address}`"
            ) from error
        here = code_of(task)
        for address, code in sorted(client.run(_code, task).items()):
            if code != here:
                why = code if isinstance(code, str) else _difference(here, code)
                raise UserError(f"worker {address} has other code ({why}): install the same nmpu there, restart it")

    def _run(self, client: Any, jobs: Sequence[Job]) -> Generator[Outcome]:
        """Yield outcomes as they come. Dask gives the jobs of a lost worker to others, and gives up on the fourth."""
        from distributed import as_completed

        waiting, hashes = iter(jobs), {}

        def send(count: int) -> list[Any]:
            batch = [job for _, job in zip(range(count), waiting, strict=False)]
            futures = client.map(perform, batch, pure=False, key="nmpu-point")
            hashes.update({future.key: job.hash for future, job in zip(futures, batch, strict=True)})
            return list(futures)

        ahead = AHEAD * max(1, sum(client.nthreads().values()))
        finished = as_completed(send(ahead), with_results=True, raise_errors=False, loop=client.loop)
        try:
            for batch in finished.batches():
                for future, result in batch:
                    name = hashes.pop(future.key)
                    if isinstance(result, Outcome):
                        yield result
                    elif client.status != "running":
                        raise UserError(f"the scheduler at {self.address} is gone; the same command goes on")
                    else:
                        yield Outcome(hash=name, error=_lost(result))
                finished.update(send(len(batch)))
        finally:
            client.cancel(list(finished.futures), force=True)


def _difference(here: Code, there: Code) -> str:
    for name, release in here.releases.items():
        if there.releases.get(name) != release:
            return f"{name} {there.releases.get(name)}, here {release}"
    return f"source {there.source}, here {here.source}"


def _lost(result: Any) -> str:
    error = result[1] if isinstance(result, tuple) and len(result) == 3 else result
    if type(error).__name__ == "KilledWorker":
        return "the worker died with this point 4 times; out of memory?"
    return one_line(error) if isinstance(error, BaseException) else str(error)
