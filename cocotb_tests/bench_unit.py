"""Runs inside the simulator: one configuration of a unit through its corners, random words, stalls and resets."""

from __future__ import annotations

from typing import Any

import cocotb

from cocotb_tests.checker import Mismatch
from cocotb_tests.job import Job, Outcome
from cocotb_tests.scenario import scenarios
from cocotb_tests.testbench import Testbench
from cocotb_tests.units import contract

WATCHED = 32
"""Columns up to which flags and `idle` are read in every cycle; wider units read them around every batch."""


@cocotb.test()
async def regression(dut: Any) -> None:
    """Run every scenario of the job's case; the first mismatch ends the run."""
    job = Job.read()
    unit = contract(job.unit)
    found = unit.case(job.case)
    config, outcome = found.config, Outcome()
    watch = unit.ports(config).flags <= WATCHED
    bench = Testbench(dut, unit, config, latency=job.latency, seed=job.seed, watch=watch)
    words = found.words if job.words is None else job.words
    corners = found.corners if job.corners is None else job.corners
    try:
        await bench.start()
        for scenario in scenarios(unit, config, job.seed, words, corners):
            right = await bench.run(scenario)
            outcome.words += 0 if scenario.corner else right
            outcome.corners += right if scenario.corner else 0
            outcome.resets += scenario.reset_after is not None
    except Mismatch as mismatch:
        outcome.mismatches.append(f"cycle {bench.cycle}: {mismatch}")
    outcome.cycles, outcome.streaming, outcome.bins = bench.cycle, bench.streaming, dict(bench.bins)
    outcome.loads = bench.bins["load.full"] + bench.bins["load.parts"]
    outcome.write(job.result)
    assert not outcome.mismatches, outcome.mismatches[0]
