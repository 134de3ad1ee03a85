"""The testbench of a unit: one loop, one wake-up a clock cycle, that lets driver, monitor and checker act in turn.

In every cycle it checks, before the rising edge: the word at the output is the oldest one in flight (so it is stable
while it waits), valid is not withdrawn, ready falls only under back pressure, flags and `idle` are what the words
accepted and delivered so far allow; without output stalls also the latency, and at full speed a word every cycle.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import cycle, repeat
from typing import Any, NamedTuple

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cocotb_tests.checker import Checker, Mismatch
from cocotb_tests.contract import Contract, Stimulus
from cocotb_tests.drivers import Driver, Handle, Loader, Monitor, junk
from cocotb_tests.ports import Integers
from cocotb_tests.scenario import Load, Scenario, Stall

PATIENCE = 200
"""Cycles without any progress after which a bench gives up; the longest stall is 40."""


class Prepared(NamedTuple):
    """A scenario's words as they stand at the ports."""

    stimulus: Stimulus
    """With the parameters that hold while it runs."""
    packed: list[int]
    """At the input."""
    expectations: list[tuple[str, int]]
    """At the output, with the flags that each word sets."""
    totals: Mapping[str, int]
    """What the activity counters gain, where there are any."""


class Testbench:
    """Runs scenarios on the unit.

    Parameters: `latency`, the component's own number; `watch`, whether flags and `idle` are read in every cycle (they
    are always read around a batch); `cover`, whether bins are counted from the golden intermediates.
    """

    __test__ = False  # for pytest: this is no test class

    def __init__(
        self,
        dut: Handle,
        contract: Contract,
        config: Any,
        *,
        latency: int,
        seed: int = 0,
        watch: bool = True,
        cover: bool = True,
    ) -> None:
        self.latency, self.watch, self.cover = latency, watch, cover
        self.ports = contract.ports(config)
        self.rng = np.random.default_rng([seed, 1])
        self.checker = Checker(contract, config)
        self.bins = self.checker.bins
        self.driver = Driver(dut, self.ports, self.rng)
        self.monitor = Monitor(dut, self.ports)
        self.loader = Loader(dut, self.ports, self.rng)
        self._busy = 0
        self._rst, self._clk, self._edge = dut.rst, dut.clk, RisingEdge(dut.clk)
        self.cycle = 0
        self.streaming = 0.0
        """Processor seconds spent streaming and checking words, the simulator included, stimulus left out."""

    async def start(self) -> None:
        """Start the clock and reset the unit."""
        Clock(self._clk, 10, unit="ns", impl="gpi").start(start_high=False)
        await self.reset(1)

    async def _tick(self) -> None:
        """Wait for a rising edge: what is read then is the cycle that ends there."""
        await self._edge
        self.cycle += 1

    async def reset(self, cycles: int) -> None:
        """Reset the unit for some cycles; what is offered to it meanwhile is lost."""
        self._rst.value = 1
        await self._tick()
        self.checker.reset()
        self._busy = 0
        for _ in range(cycles - 1):
            await self._tick()
            self._still()
        self._rst.value = 0
        self.driver.rest()
        await self._tick()
        self._still()

    def _still(self) -> None:
        """Check a cycle in which nothing is in flight."""
        if self.monitor.valid != "0":
            raise Mismatch("protocol", "valid is high and no word is in the unit")
        self._ready(self.driver.ready, False)
        self.checker.state(self.monitor.flags, self.monitor.idle)
        self.checker.totals(self.monitor.totals)

    def _ready(self, ready: str, pressed: bool) -> None:
        """Check that ready falls only under back pressure, or while a word takes its cycles."""
        if ready != "1" and not (ready == "0" and pressed):
            raise Mismatch("protocol", f"ready is {ready} without back pressure")

    def prepare(self, scenario: Scenario) -> Prepared:
        """Return what the words of a scenario are at the ports; it can be run again on a unit in the same state."""
        stimulus, lane = scenario.stimulus, self.ports.input
        if scenario.load is Load.KEEP:
            stimulus = replace(stimulus, columns=self.checker.columns, layer=self.checker.layer)
        packed = lane.pack({name: self.ports.lanes(stimulus.words[name]) for name in lane.names})
        totals = self.checker.contract.totals
        gained = totals(self.checker.config, stimulus) if totals else {}
        return Prepared(stimulus, packed, self.checker.expectations(stimulus), gained)

    async def run(self, scenario: Scenario, prepared: Prepared | None = None) -> int:
        """Load, stream and check one scenario; return the words that came out right."""
        if prepared is None:
            prepared = self.prepare(scenario)
        if scenario.load is Load.KEEP:
            self.bins["reset.parameters_kept"] += scenario.reset_after is None
        else:
            await self._load(prepared.stimulus, scenario.load)
        before = self.checker.words
        self.checker.expect(prepared.expectations, prepared.totals)
        began = time.process_time()
        await self._stream(prepared.packed, scenario)
        self.streaming += time.process_time() - began
        if scenario.reset_after is None and self.cover:
            self.checker.cover(prepared.stimulus)
            self.bins["stream.full_speed"] += scenario.source is scenario.sink is Stall.NEVER
        return self.checker.words - before

    async def scrub(self) -> None:
        """Fill parameter store and layer registers with junk."""
        for column in range(self.ports.entries):
            fields = self.loader.columns
            self.loader.column(column, (1 << len(fields.fields)) - 1, junk(self.rng, fields.bits))
            self.loader.layer_registers({field.name: junk(self.rng, field.bits) for field in self.loader.layer.fields})
            await self._tick()
        self.loader.rest()

    def _writes(self, columns: Mapping[str, Integers], how: Load) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield the column writes of a load, in the order of the columns: the fields that each takes over."""
        names = self.loader.columns.names
        for column in range(self.ports.entries):
            codes = {name: int(columns[name][column]) for name in names}
            if how is Load.FULL:
                yield column, codes
                continue
            changed = [name for name in names if codes[name] != self.checker.stored[name][column]]
            groups = self.rng.integers(3, size=len(changed))
            for group in range(3):
                part = {name: codes[name] for name, own in zip(changed, groups, strict=True) if own == group}
                if part:
                    yield column, part
            if self.rng.random() < 0.25:
                yield column, {}

    async def _load(self, stimulus: Stimulus, how: Load) -> None:
        """Write parameters in random order: a column a cycle, the layer registers with one of them or alone."""
        steps: list[tuple[int, dict[str, int]] | None] = list(self._writes(stimulus.columns, how))
        order = self.rng.permutation(len(steps))
        steps = [steps[index] for index in order]
        layer_at = int(self.rng.integers(len(steps) + 1))
        kept = how is Load.PARTS and stimulus.layer == self.checker.layer
        alone = layer_at == len(steps) or bool(self.rng.random() < 0.75)
        if alone and not kept:
            steps.insert(layer_at, None)
        self.bins[f"load.{how.value}"] += 1
        self.bins["load.layer_kept"] += kept
        self.bins["load.layer_with_column"] += not alone and not kept
        for number, step in enumerate(steps):
            layer = not kept and number == layer_at
            if step is not None:
                self._put_column(*step)
            if layer:
                self.loader.layer_registers({name: stimulus.layer[name] for name in self.loader.layer.names})
            await self._tick()
            self._still()
            self.loader.rest()
            if step is not None:
                self.checker.write_column(*step)
            if layer:
                self.checker.write_layer(stimulus.layer)

    def _put_column(self, column: int, part: dict[str, int]) -> None:
        """Put the write of some fields of a column on the port; the others carry junk."""
        fields = self.loader.columns.fields
        mask = sum(1 << index for index, field in enumerate(fields) if field.name in part)
        self.bins["load.nothing_taken"] += mask == 0
        self.bins["load.partial_write"] += 0 < mask < (1 << len(fields)) - 1
        codes = {field.name: part.get(field.name, junk(self.rng, field.bits)) for field in fields}
        self.loader.column(column, mask, self.loader.columns.one(codes))

    async def _stream(self, packed: list[int], scenario: Scenario) -> None:
        """Send words and take results until all came out, or until a reset cuts them off."""
        checker, driver, monitor = self.checker, self.driver, self.monitor
        source = cycle(scenario.source.pattern(self.rng))
        sink: Iterator[bool] = cycle(scenario.sink.pattern(self.rng))
        free = scenario.sink is Stall.NEVER
        limit = len(packed) if scenario.reset_after is None else min(scenario.reset_after, len(packed) - 1)
        sent, offering, pressed, progress = 0, False, False, self.cycle
        linger = 0 if scenario.reset_after is None else int(self.rng.integers(2 * self.latency))
        while sent < limit or linger or (checker.in_flight and scenario.reset_after is None):
            if not offering:
                offering = sent < limit and next(source)
                if offering:
                    driver.offer(packed[sent])
                else:
                    driver.rest()
            if sent == limit and linger:  # before a reset: words wait at the output
                linger -= 1
                sink = repeat(False)
            monitor.take(next(sink))
            await self._tick()
            if self.watch:
                checker.state(monitor.flags, monitor.idle)
                self.bins["idle.low_inside_vector"] += checker.mid_vector and not checker.in_flight
            ready, valid = driver.ready, monitor.valid
            if valid == "1":
                checker.compare(monitor.payload)
                if monitor.taking:
                    age = self.cycle - checker.deliver().cycle
                    if age < self.latency or (free and age != self.latency):
                        raise Mismatch("latency", f"{age} cycles, the component says {self.latency}")
                    progress = self.cycle
            elif valid != "0" or pressed:
                raise Mismatch("protocol", f"valid is {valid}" + ", withdrawn under back pressure" * pressed)
            pressed = valid == "1" and not monitor.taking
            if pressed:
                self.bins["stall.output_waits"] += 1
                self.bins["stall.pipeline_full"] += checker.in_flight >= self.latency
            busy = self._busy > 0
            self._busy -= busy and not pressed
            if ready != "1":
                self._ready(ready, pressed or busy)
                self.bins["stall.input_waits"] += offering
            elif offering:
                checker.accept(self.cycle)
                self._busy = self.ports.interval - 1
                sent, offering, progress = sent + 1, False, self.cycle
            else:
                self.bins["stall.bubble"] += checker.in_flight > 0
            if self.cycle - progress > PATIENCE:
                raise Mismatch(
                    "progress", f"nothing moved for {PATIENCE} cycles, {checker.in_flight} words in the unit"
                )
        if scenario.reset_after is not None:
            self.bins["reset.under_stall"] += pressed
            driver.offer(packed[limit])
            await self.reset(int(self.rng.integers(1, 4)))
        driver.rest()
        for _ in range(int(self.rng.integers(1, 4))):
            monitor.take(bool(self.rng.integers(2)))
            await self._tick()
            self._still()
