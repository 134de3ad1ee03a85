"""A unit's package in the simulator: the plain unit's regression on the packaged one, and the bench of its bus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cocotb_tests.icarus import compile_verilog, simulate
from cocotb_tests.job import Job, Outcome
from cocotb_tests.regression import Design, Row, run_design
from cocotb_tests.units import contract
from synth.package.build import package
from synth.registry import unit as find_unit


def verilog(unit: str, case: str) -> str:
    """Return every Verilog file of a case's package, one behind the other; assertions and bench left out."""
    files = package(unit, contract(unit).case(case).config)
    return "\n".join(text for name, text in files.items() if name.endswith(".v"))


def run_packaged(unit: str, case: str, folder: Path, *, words: int | None = None, corners: int | None = None) -> Row:
    """Run the regression of a case on its package: clock gates and memories instead of enables and arrays."""
    design = replace(Design.of(unit, contract(unit).case(case)), text=verilog(unit, case))
    return run_design(design, folder, seed=0, words=words, corners=corners)[0]


def run_bus(unit: str, case: str, folder: Path, *, words: int = 600) -> Outcome:
    """Run the bench of the bus on a case, about so many words end to end; `folder` keeps design and log."""
    top = f"{unit}_apb"
    compiled = compile_verilog(verilog(unit, case), folder, top=top)
    job = Job(
        unit=unit,
        case=case,
        latency=find_unit(unit).latency(contract(unit).case(case).config),
        words=words,
        result=str(folder / "outcome.json"),
    )
    return simulate(compiled, "bench_apb", job, top=top, seconds=900)
