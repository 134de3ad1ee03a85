"""Runs inside the simulator: one configuration of a unit behind its APB subordinate, bus and streams at once."""

from __future__ import annotations

from typing import Any

import cocotb

from cocotb_tests.apb import collisions
from cocotb_tests.apb.checks import Checks
from cocotb_tests.checker import Mismatch
from cocotb_tests.job import Job, Outcome
from cocotb_tests.units import contract
from synth.package.design import registers
from synth.registry import unit


@cocotb.test()
async def bus_and_streams(dut: Any) -> None:
    """Every check, once; the first mismatch ends the run. `words` of the job: words end to end."""
    job = Job.read()
    known = contract(job.unit)
    config = known.case(job.case).config
    outcome = Outcome()
    checks = Checks(dut, known, config, registers(unit(job.unit), config), job.latency)
    vectors = -(-(job.words or 600) // (6 * checks.ports.columns))
    try:
        await checks.reset()
        await checks.facts()
        await checks.read_back()
        await checks.refusals()
        await checks.end_to_end(6, vectors)
        await collisions.busy(checks)
        await collisions.held(checks, max(9, 36 // checks.ports.columns))
        await collisions.shared(checks, max(8, 120 // checks.ports.columns))
        await collisions.clear_against_set(checks)
        await collisions.reset_inside(checks)
        checks.streams.check()
    except Mismatch as mismatch:
        outcome.mismatches.append(f"cycle {checks.streams.cycle}: {mismatch}")
    outcome.words, outcome.cycles = checks.streams.delivered, checks.streams.cycle
    outcome.bins = {**checks.bins, "transfers": checks.bus.transfers}
    outcome.write(job.result)
    assert not outcome.mismatches, outcome.mismatches[0]
