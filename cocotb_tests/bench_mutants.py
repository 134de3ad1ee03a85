"""Runs inside the simulator: the whole bench on one netlist with many faults, one after the other, chosen by a port."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock

from cocotb_tests.checker import Mismatch
from cocotb_tests.job import Job, Outcome
from cocotb_tests.scenario import Scenario, scenarios
from cocotb_tests.testbench import Prepared, Testbench
from cocotb_tests.units import contract


@cocotb.test()
async def mutants(dut: Any) -> None:
    """For every fault of the job: start clean, switch the fault on, run the bench until the first mismatch.

    A fault may be named twice: 0, the sound unit, stands first and last.

    Between two faults the sound unit is reset and its parameter store filled with junk, so that no fault inherits what
    the one before left behind.
    """
    job = Job.read()
    unit = contract(job.unit)
    found = unit.case(job.case)
    words = found.words if job.words is None else job.words
    corners = found.corners if job.corners is None else job.corners
    script: list[tuple[Scenario, Prepared | None]] = [
        (scenario, None) for scenario in scenarios(unit, found.config, job.seed, words, corners)
    ]
    outcome = Outcome()
    Clock(dut.clk, 10, unit="ns", impl="gpi").start(start_high=False)
    for fault in job.faults:
        dut.mutsel.value = 0
        bench = Testbench(dut, unit, found.config, latency=job.latency, seed=job.seed, cover=False)
        await bench.reset(2)
        await bench.scrub()
        dut.mutsel.value = fault
        caught = ""
        try:
            await bench.reset(1)
            for index, (scenario, prepared) in enumerate(script):
                if prepared is None:
                    prepared = bench.prepare(scenario)
                    script[index] = scenario, prepared
                await bench.run(scenario, prepared)
        except Mismatch as mismatch:
            caught = mismatch.kind
        outcome.caught[str(fault)] = outcome.caught.get(str(fault)) or caught
        outcome.cycles += bench.cycle
        outcome.streaming += bench.streaming
    outcome.write(job.result)
