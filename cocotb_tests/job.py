"""What a runner asks of a bench, and what the bench answers: two small JSON files beside the simulation."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

JOB = "NMPU_BENCH_JOB"
"""The environment variable that tells a bench where its job stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a bench in the simulator."""

    unit: str
    """The unit, by its name in `cocotb_tests.units`."""
    case: str
    """One of its configurations."""
    latency: int
    """The latency that the component states."""
    result: str
    """File for the answer."""
    seed: int = 0
    """Seed of all stimulus."""
    words: int | None = None
    """Random words; None for the case's own number."""
    corners: int | None = None
    """Corner batches; None for the case's own number."""
    faults: tuple[int, ...] = ()
    """Values of `mutsel` to try, one after the other; empty where the design has no such port."""

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read() -> Job:
        """Return the job that the environment names."""
        found = json.loads(Path(os.environ[JOB]).read_text())
        return Job(**{**found, "faults": tuple(found["faults"])})


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a bench saw."""

    words: int = 0
    """Random words that came out right."""
    corners: int = 0
    """Corner words that came out right."""
    cycles: int = 0
    """Clock cycles simulated."""
    streaming: float = 0.0
    """Seconds in the simulator, building of stimulus left out."""
    resets: int = 0
    """Resets in mid-stream."""
    loads: int = 0
    """Parameter loads."""
    bins: dict[str, int] = field(default_factory=dict)
    """Cover bins, counted from golden intermediates of what came out right."""
    mismatches: list[str] = field(default_factory=list)
    """What differed, first ones first."""
    caught: dict[str, str] = field(default_factory=dict)
    """By fault: the check that caught it, or an empty text where none did."""

    def write(self, path: str) -> None:
        """Write the outcome as JSON."""
        Path(path).write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Outcome:
        """Return what a bench wrote."""
        return Outcome(**json.loads(path.read_text()))
