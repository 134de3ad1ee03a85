"""Runs inside the simulator: how many codes a second the bench checks, streaming at full speed, every check on."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from cocotb_tests.checker import Mismatch
from cocotb_tests.configurations import case
from cocotb_tests.job import Job, Outcome
from cocotb_tests.scenario import Load, Scenario
from cocotb_tests.testbench import Testbench
from golden_model.vectors import random_batch


@cocotb.test()
async def speed(dut: Any) -> None:
    """Stream random words at full speed in batches of 1,024 words; the time counts streaming and checking."""
    job = Job.read()
    config, outcome = case(job.case).config, Outcome()
    bench = Testbench(dut, config, latency=job.latency, seed=job.seed, watch=False)
    rng = np.random.default_rng(job.seed)
    try:
        await bench.start()
        while outcome.words < (job.words or 4096):
            batch = random_batch(config, rng, 1024 // config.columns)
            before = bench.streaming
            outcome.words += await bench.run(Scenario(batch=batch, corner=False, load=Load.FULL))
            outcome.streaming += bench.streaming - before
    except Mismatch as mismatch:
        outcome.mismatches.append(str(mismatch))
    outcome.cycles = bench.cycle
    outcome.write(job.result)
