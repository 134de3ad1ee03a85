"""Runs inside the simulator: how many codes a second the bench checks, streaming at full speed, every check on."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cocotb_tests.checker import Mismatch
from cocotb_tests.job import Job, Outcome
from cocotb_tests.scenario import Load, Scenario
from cocotb_tests.testbench import Testbench
from cocotb_tests.units import contract


@cocotb.test()
async def speed(dut: Any) -> None:
    """Stream random words at full speed in batches of 1,024 words; the time counts streaming and checking."""
    job = Job.read()
    unit = contract(job.unit)
    config, outcome = unit.case(job.case).config, Outcome()
    bench = Testbench(dut, unit, config, latency=job.latency, seed=job.seed, watch=False)
    rng = np.random.default_rng(job.seed)
    try:
        await bench.start()
        while outcome.words < (job.words or 4096):
            stimulus = unit.random(config, rng, 1024 // unit.ports(config).columns)
            before = bench.streaming
            outcome.words += await bench.run(Scenario(stimulus=stimulus, corner=False, load=Load.FULL))
            outcome.streaming += bench.streaming - before
    except Mismatch as mismatch:
        outcome.mismatches.append(str(mismatch))
    outcome.cycles = bench.cycle
    outcome.write(job.result)
