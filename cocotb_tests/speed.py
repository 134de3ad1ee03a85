"""How many codes a second the bench checks: `python -m cocotb_tests.speed [UNIT [CONFIGURATION ...]]`.

Streams at full speed through Icarus with every check of the words on, and counts the processor time of the whole
simulation process (simulator, bench and comparison), so that a busy machine distorts little.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from cocotb_tests.icarus import compile_verilog, simulate, workspace
from cocotb_tests.job import Job
from cocotb_tests.regression import Design
from cocotb_tests.units import contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """One measurement."""

    unit: str
    """The unit."""
    case: str
    """Name of the configuration."""
    words: int
    """Words streamed and found right."""
    seconds: float
    """Processor seconds."""
    codes: float
    """Codes a second."""


def measure(unit: str, name: str, words: int = 4096, seed: int = 0) -> Speed:
    """Stream words through a configuration and return the speed."""
    design = Design.of(unit, contract(unit).case(name))
    with workspace() as folder:
        compiled = compile_verilog(design.text, folder, top=unit)
        result = str(folder / "outcome.json")
        job = Job(unit=unit, case=name, latency=design.latency, seed=seed, words=words, result=result)
        outcome = simulate(compiled, "bench_speed", job, top=unit)
    if outcome.mismatches:
        raise RuntimeError(f"{name}: {outcome.mismatches[0]}")
    codes = outcome.words * contract(unit).ports(design.case.config).results / outcome.streaming
    return Speed(unit=unit, case=name, words=outcome.words, seconds=outcome.streaming, codes=codes)


def main(unit: str = "nmpu", *names: str) -> None:
    """Measure and print."""
    table = Table(title=f"{unit}: cocotb on Icarus Verilog, full speed, every word checked")
    for column in ("configuration", "words", "processor seconds", "codes a second"):
        table.add_column(column, justify="left" if column == "configuration" else "right")
    for name in names or contract(unit).measured:
        found = measure(unit, name)
        table.add_row(name, f"{found.words:,}", f"{found.seconds:.2f}", f"{found.codes:,.0f}")
    Console().print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
