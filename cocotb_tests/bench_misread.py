"""Runs inside the simulator: the bench with a wrong golden model, once for every misreading; each must be noticed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import cocotb
from cocotb.clock import Clock

from cocotb_tests.checker import Mismatch
from cocotb_tests.configurations import case
from cocotb_tests.job import Job, Outcome
from cocotb_tests.misread import MISREADINGS
from cocotb_tests.scenario import scenarios
from cocotb_tests.testbench import Testbench
from golden_model import nmpu as golden


@cocotb.test()
async def misread(dut: Any) -> None:
    """Run the bench with the right golden model (fault 0), then with each misreading (by its place, from 1)."""
    job = Job.read()
    found = case(job.case)
    words, corners = job.words or 400, job.corners or 40
    script = list(scenarios(found.config, job.seed, words, corners))  # aimed by the right golden model
    outcome = Outcome()
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
    for fault in job.faults:
        bench = Testbench(dut, found.config, latency=job.latency, seed=job.seed, cover=False)
        caught = ""
        with ExitStack() as stack:
            for name, wrong in MISREADINGS[fault - 1].replaced.items() if fault else ():
                stack.enter_context(patch.object(golden, name, wrong))
            try:
                await bench.reset(2)
                await bench.scrub()
                for scenario in script:
                    await bench.run(scenario)
            except Mismatch as mismatch:
                caught = mismatch.kind
        outcome.caught[str(fault)] = caught
    outcome.write(job.result)
