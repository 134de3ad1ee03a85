"""Tasks that cost nothing, for tests of the engine. A point notes in a ledger that it was computed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from golden_model.configuration import plain
from golden_model.errors import UserError
from integration.studies.sweep.task import Better, Measure, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    width: int = 1
    height: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trivial:
    label: str = "a"
    shape: Shape = Shape()
    seed: int = 0
    pause: float = 0.0
    fail: bool = False
    die: bool = False

    def __post_init__(self) -> None:
        if self.seed == 13:
            raise UserError("seed = 13: brings bad luck")


def content(point: Trivial) -> dict[str, Any]:
    return {key: value for key, value in plain(point).items() if key not in ("pause",)}


def taken(path: Path) -> bool:
    """Remove a file; tell whether it was this process, of two at once, that did."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def run(point: Trivial) -> Mapping[str, Any]:
    ledger = os.environ.get("LEDGER")
    if ledger is not None:
        line = f"{point.label} {point.shape.width} {point.shape.height} {point.seed}\n".encode()
        file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line)
        os.close(file)
    if point.pause:
        time.sleep(point.pause)
    if point.die or (ledger is not None and taken(Path(ledger + ".die"))):
        os.kill(os.getpid(), signal.SIGKILL)
    if point.fail and not (ledger is not None and Path(ledger + ".mended").exists()):
        raise ValueError(f"no luck with\nseed {point.seed} <b>")
    area = point.shape.width * point.shape.height
    return {"area": area + (point.seed * 7 % 5) * 0.1, "cost": point.shape.width, "nothing": None}


TRIVIAL = Task(
    base=Trivial(),
    run=run,
    content=content,
    measures=(
        Measure(name="area", title="area", unit="m2", better=Better.HIGHER),
        Measure(name="cost", title="cost", digits=0, better=Better.LOWER),
    ),
    depends=("golden_model.errors",),
)
SHARING = Task(base=Trivial(), run=run, content=content, measures=TRIVIAL.measures, share=lambda point: point.label)
