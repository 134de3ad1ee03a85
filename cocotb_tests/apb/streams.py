"""The two streams of a unit behind its bus, whatever the bus does meanwhile; words are compared digit by digit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time

from cocotb_tests.checker import Mismatch
from cocotb_tests.drivers import Driver, Handle
from cocotb_tests.ports import Ports
from cocotb_tests.scenario import Stall

PERIOD_NS = 10
"""Period of the bench's clock."""
PATIENCE = 12_000
"""Cycles without a word taken or delivered after which the bench gives up: more than a load under hold needs."""


def edge_number() -> int:
    """Return the number of the rising edge that is now: of one clock, whoever asks."""
    return int(get_sim_time("ns")) // PERIOD_NS


class Word(NamedTuple):
    """A word to send."""

    packed: int
    """At the input."""
    digits: tuple[str, ...]
    """At the output, one for each parameter set under which it may be accepted."""


class Streams:
    """Sends the words of `queue`, in order; compares what comes out. `chosen` is the parameter set that is loaded."""

    def __init__(self, dut: Handle, ports: Ports, rng: np.random.Generator) -> None:
        self._rng, self._edge, self._rst = rng, RisingEdge(dut.clk), dut.rst
        self._driver, self._offering = Driver(dut, ports, rng), False
        self._payload, self._valid, self._ready = dut.o__payload, dut.o__valid, dut.o__ready
        self._source: Iterator[bool] = cycle([True])
        self._sink: Iterator[bool] = cycle([True])
        self.queue: deque[Word] = deque()
        self.flight: deque[str] = deque()
        self.chosen = 0
        self.accepted = self.delivered = self.cycle = self._moved = 0
        self.edges: list[int] = []
        """The edges at which words were taken, since it was last cleared."""
        self.waited = 0
        """Cycles in which a word was offered and not taken."""
        self.error: Mismatch | None = None
        cocotb.start_soon(self._run())

    def stall(self, source: Stall, sink: Stall) -> None:
        """Choose when either side takes part."""
        self._source, self._sink = cycle(source.pattern(self._rng)), cycle(sink.pattern(self._rng))

    def check(self) -> None:
        """Raise what differed so far, or that words wait and nothing moved for long; to be called in every loop."""
        if self.error is not None:
            raise self.error
        if (self.queue or self.flight) and self.cycle - self._moved > PATIENCE:
            raise Mismatch("progress", f"{len(self.queue)} words wait and {len(self.flight)} are in the unit")

    async def drain(self) -> None:
        """Wait until every queued word came out."""
        self.check()
        while self.queue or self.flight:
            await self._edge
            self.check()

    def lose(self) -> None:
        """Forget the words in the unit and in the queue: a reset fell."""
        self.queue.clear()
        self.flight.clear()
        self._offering = False
        self._driver.rest()

    async def _run(self) -> None:
        try:
            while True:
                await self._cycle()
        except Mismatch as mismatch:
            self.error = mismatch

    async def _cycle(self) -> None:
        if not self._offering and self.queue and next(self._source):
            self._driver.offer(self.queue[0].packed)
            self._offering = True
        taking = next(self._sink)
        self._ready.value = int(taking)
        await self._edge
        self.cycle += 1
        if not self.queue and not self.flight:
            self._moved = self.cycle
        ready, valid = self._driver.ready, str(self._valid.value)
        if str(self._rst.value) != "0":
            self._offering = False
            self._driver.rest()
            return
        if valid == "1":
            digits = str(self._payload.value)
            if not self.flight or digits != self.flight[0]:
                want = self.flight[0] if self.flight else "nothing"
                raise Mismatch("payload", f"word {self.delivered} is {digits}, must be {want}")
            if taking:
                self.flight.popleft()
                self._moved = self.cycle
                self.delivered += 1
        elif valid != "0":
            raise Mismatch("protocol", f"valid is {valid}")
        if self._offering and ready == "1":
            self.flight.append(self.queue.popleft().digits[self.chosen])
            self.accepted += 1
            self._moved = self.cycle
            self.edges.append(edge_number())
            self._driver.rest()
            self._offering = False
        elif ready not in ("0", "1"):
            raise Mismatch("protocol", f"ready is {ready}")
        else:
            self.waited += self._offering
