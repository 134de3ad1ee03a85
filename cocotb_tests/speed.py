"""How many codes a second the bench checks: `python -m cocotb_tests.speed`.

Streams at full speed through Icarus with every check of the words on, and counts the processor time of the whole
simulation process (simulator, bench and comparison), so that a busy machine distorts little.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from cocotb_tests.configurations import case
from cocotb_tests.icarus import compile_verilog, simulate, workspace
from cocotb_tests.job import Job
from cocotb_tests.regression import Design

MEASURED = ("affine_64x4", "default_64x4", "all_stages_64x4", "every_option_64x4")
"""The affine stage alone, the default, every stage, and every stage with cuts and run-time shifts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One measurement."""

    case: str
    """Name of the configuration."""
    words: int
    """Words streamed and found right."""
    seconds: float
    """Processor seconds."""
    codes: float
    """Codes a second."""


def measure(name: str, words: int = 4096, seed: int = 0) -> Speed:
    """Stream words through a configuration and return the speed."""
    design = Design.of("nmpu", case(name))
    with workspace() as folder:
        compiled = compile_verilog(design.text, folder)
        result = str(folder / "outcome.json")
        job = Job(case=name, latency=design.latency, seed=seed, words=words, result=result)
        outcome = simulate(compiled, "bench_speed", job)
    if outcome.mismatches:
        raise RuntimeError(f"{name}: {outcome.mismatches[0]}")
    codes = outcome.words * design.case.config.units / outcome.streaming
    return Speed(case=name, words=outcome.words, seconds=outcome.streaming, codes=codes)


def main(names: Sequence[str]) -> None:
    """Measure and print."""
    table = Table(title="cocotb on Icarus Verilog, full speed, every word checked")
    for column in ("configuration", "words", "processor seconds", "codes a second"):
        table.add_column(column, justify="left" if column == "configuration" else "right")
    for name in names:
        found = measure(name)
        table.add_row(name, f"{found.words:,}", f"{found.seconds:.2f}", f"{found.codes:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:] or MEASURED)
