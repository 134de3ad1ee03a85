"""Runs inside the simulator: the bench with a wrong golden model, once for every misreading; each must be noticed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import cocotb
from cocotb.clock import Clock

from cocotb_tests.checker import Mismatch
from cocotb_tests.job import Job, Outcome
from cocotb_tests.scenario import scenarios
from cocotb_tests.testbench import Testbench
from cocotb_tests.units import contract


@cocotb.test()
async def misreadings(dut: Any) -> None:
    """Run the bench with the right golden model (fault 0), then with each misreading (by its place, from 1)."""
    job = Job.read()
    unit = contract(job.unit)
    found = unit.case(job.case)
    words, corners = job.words or 400, job.corners or 64
    script = list(scenarios(unit, found.config, job.seed, words, corners))  # aimed by the right golden model
    outcome = Outcome()
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
    for fault in job.faults:
        bench = Testbench(dut, unit, found.config, latency=job.latency, seed=job.seed, cover=False)
        caught = ""
        with ExitStack() as stack:
            misread = unit.misreadings[fault - 1]
            for name, wrong in misread.replaced.items() if fault else ():
                stack.enter_context(patch.object(misread.module, name, wrong))
            try:
                await bench.reset(2)
                await bench.scrub()
                for scenario in script:
                    await bench.run(scenario)
            except Mismatch as mismatch:
                caught = mismatch.kind
        outcome.caught[str(fault)] = caught
    outcome.write(job.result)
