"""Cycles of a vector, counted: the unit's RTL runs in Amaranth's simulator, with words offered and taken at once.

Of an NMPU one lane runs, with the words of all: the lanes share their control, and 64 of them take minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from amaranth.sim import Simulator

from golden_model.nmpu_config import NmpuConfig
from synth.compare.candidates import Candidate
from synth.registry import unit as find_unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    """What was counted."""

    vector: int
    """Clock periods from the edge that accepts the first word of a vector to the edge that delivers its last word."""
    steady: int
    """Clock periods between the last words of two vectors that follow each other: one vector in steady state."""


@cache
def count(candidate: Candidate) -> Cycles:
    """Return the cycles of one vector, alone and in a stream of two."""
    words = candidate.config.columns
    accepted, delivered = _run(candidate, 2 * words)
    first, last = delivered[words - 1], delivered[2 * words - 1]
    return Cycles(vector=first - accepted[0], steady=last - first)


def _run(candidate: Candidate, words: int) -> tuple[list[int], list[int]]:
    """Return the edges at which words were accepted and delivered."""
    config = candidate.config
    config = replace(config, units=1) if isinstance(config, NmpuConfig) else config
    dut = find_unit(candidate.unit).component(config)
    accepted: list[int] = []
    delivered: list[int] = []

    async def process(ctx: Any) -> None:
        edge = 0
        ctx.set(dut.o.ready, 1)
        while len(delivered) < words:
            ctx.set(dut.i.valid, len(accepted) < words)
            if ctx.get(dut.i.valid) and ctx.get(dut.i.ready):
                accepted.append(edge)
            if ctx.get(dut.o.valid):
                delivered.append(edge)
            await ctx.tick()
            edge += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(process)
    simulator.run()
    return accepted, delivered
