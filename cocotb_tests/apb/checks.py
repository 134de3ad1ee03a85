"""What must hold of a unit behind its bus: one method a feature, each leaves bus and unit as it found them, idle."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from cocotb_tests.apb.bus import ALL, Bus
from cocotb_tests.apb.streams import PERIOD_NS, Streams, Word
from cocotb_tests.checker import Checker, Mismatch
from cocotb_tests.contract import Contract, Stimulus
from cocotb_tests.drivers import Handle, junk
from cocotb_tests.ports import Field
from cocotb_tests.scenario import Stall
from hdl.apb import Access, RegisterMap

STALLS = tuple(Stall)


def expect(what: str, got: int, want: int) -> None:
    """Refuse a value that differs."""
    if got != want:
        raise Mismatch("bus", f"{what}: {got:#x}, must be {want:#x}")


def code(field: Field, value: int) -> int:
    """Return what a register of a field reads as, its sign extended to the word."""
    value &= (1 << field.bits) - 1
    return (value - (1 << field.bits) * (field.signed and value >> (field.bits - 1))) & 0xFFFFFFFF


class Checks:
    """The bench of one configuration. `bins` counts what was met; a Mismatch says what differed."""

    def __init__(self, dut: Handle, contract: Contract, config: Any, registers: RegisterMap, latency: int) -> None:
        self.dut, self.contract, self.config, self.map, self.latency = dut, contract, config, registers, latency
        self.ports = contract.ports(config)
        self.rng = np.random.default_rng([7, self.ports.count])
        self.bins: Counter[str] = Counter()
        self.bus = Bus(dut, registers.address_bits, self.rng)
        self.checker = Checker(contract, config)  # its golden answers; the streams have their own order
        self.edge = RisingEdge(dut.clk)
        dut.rst.value = 1
        Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start(start_high=False)
        self.streams = Streams(dut, self.ports, self.rng)

    async def reset(self, cycles: int = 2) -> None:
        """Reset wrapper and unit."""
        self.dut.rst.value = 1
        for _ in range(cycles):
            await self.edge
        self.streams.lose()
        self.bus.rest()
        self.dut.rst.value = 0
        await self.edge

    def address(self, name: str, number: int = 0) -> int:
        """Return the address of a register of the map."""
        register = self.map[name]
        return register.offset + number * register.stride

    async def status(self, idle: bool, saturated: bool | None = None) -> None:
        """Check the status register and the two lines that say the same."""
        found = await self.bus.read(self.address("status"))
        expect("status.idle", found & 1, idle)
        if saturated is not None:
            expect("status.saturated", found >> 1, saturated)
            expect("saturated", int(self.dut.saturated.value), saturated)
        self.bins["status"] += 1

    async def facts(self) -> None:
        """Identification and geometry, each behind one wait state; hold and flags are 0 after reset."""
        for register in self.map.registers:
            if register.value is not None:
                reply = await self.bus.transfer(register.offset)
                expect(register.name, reply.data, register.value)
                expect("wait states", reply.waits, 1)
                self.bins["fact"] += 1
        for name, value in (("units", self.ports.units), ("columns", self.ports.columns), ("latency", self.latency)):
            expect(name, await self.bus.read(self.address(name)), value)
        expect("control", await self.bus.read(self.address("control")), 0)
        expect("fields", await self.bus.read(self.address("fields")), len(self.ports.parameters.fields))
        await self.status(True, False)

    async def load(self, stimulus: Stimulus) -> None:
        """Write every parameter of every column and the layer registers, in random order."""
        writes = [
            (self.address(name, column), int(stimulus.columns[name][column]))
            for name in self.ports.parameters.names
            for column in range(self.ports.count)
        ]
        if self.ports.layer.fields:
            writes.append((self.address("layer"), self.ports.layer.one(stimulus.layer)))
        for n in self.rng.permutation(len(writes)):
            await self.bus.write(*writes[n])
        self.bins["load"] += 1

    async def read_back(self) -> None:
        """Every parameter of every column: written with all its bits at random, read in another order; two waits."""
        for turn in range(2):
            written: dict[int, tuple[str, int]] = {}
            for n in self.rng.permutation(self.ports.count):
                for field in self.ports.parameters.fields:
                    value, address = junk(self.rng, 32), self.address(field.name, int(n))
                    await self.bus.write(address, value)
                    written[address] = (f"{field.name} of column {n}", code(field, value))
            for address in self.rng.permutation(list(written)):
                reply = await self.bus.transfer(int(address))
                name, want = written[int(address)]
                expect(name, reply.data, want)
                expect("wait states", reply.waits, 2)
            self.bins["read_back"] += len(written) * (turn + 1)
        layer = junk(self.rng, 32)
        if self.ports.layer.fields:
            await self.bus.write(self.address("layer"), layer)
            read = await self.bus.read(self.address("layer"))
            expect("layer", read, layer & ((1 << self.ports.layer.bits) - 1))
            self.bins["layer"] += 1

    async def refusals(self, most: int = 1024) -> None:
        """Nothing but the map is there; nothing but whole aligned words is written; what is refused changes nothing."""
        there = {
            register.offset + n * register.stride for register in self.map.registers for n in range(register.count)
        }
        words = np.arange(0, self.map.size, 4)
        chosen = words if len(words) <= most else self.rng.choice(words, most, replace=False)
        for address in map(int, chosen):
            if address not in there:
                await self.bus.refuse(address)
                await self.bus.refuse(address, junk(self.rng, 32))
                self.bins["hole"] += 1
        fixed = [register.offset for register in self.map.registers if register.access is Access.READ]
        for address in fixed:
            await self.bus.refuse(address, junk(self.rng, 32))
        first = self.ports.parameters.fields[0].name
        targets = [self.address(first), self.address("control"), self.address("flags")]
        targets += [self.address("layer")] if self.ports.layer.fields else []
        for address in targets:
            before = await self.bus.read(address)
            for strobes in range(ALL):
                await self.bus.refuse(address, ~before, strobes)
            for off in (1, 2, 3):
                await self.bus.refuse(address + off, ~before)
                await self.bus.refuse(address + off)
            expect(f"{address:#x} after refusals", await self.bus.read(address), before)
            self.bins["refused"] += 1

    def words(self, *sets: Stimulus) -> list[Word]:
        """Return the words of the first stimulus with what they become under the parameters of each."""
        lane, words = self.ports.input, sets[0].words
        packed = lane.pack({name: self.ports.lanes(words[name]) for name in lane.names})
        digits = [[text for text, _ in self.checker.expectations(replace(each, words=words))] for each in sets]
        return [Word(*pair) for pair in zip(packed, zip(*digits, strict=True), strict=True)]

    def flags(self, stimulus: Stimulus) -> int:
        """Return the flags that a stimulus raises, bit c is column c."""
        raised = np.flatnonzero(self.contract.answer(self.config, stimulus).flagged.any(axis=0))
        return sum(1 << int(column) for column in raised)

    async def read_flags(self) -> int:
        """Return the flag registers joined."""
        found = [await self.bus.read(self.address("flags", n)) for n in range(self.map.flag_words)]
        return sum(word << (32 * n) for n, word in enumerate(found))

    async def end_to_end(self, batches: int, vectors: int) -> None:
        """Parameters over the bus, words bit for bit against the golden model, flags as it says, and their clear."""
        for _ in range(batches):
            stimulus = self.contract.random(self.config, self.rng, vectors)
            await self.load(stimulus)
            expect("flags behind a load", await self.read_flags(), 0)
            self.streams.stall(STALLS[int(self.rng.integers(len(STALLS)))], STALLS[int(self.rng.integers(len(STALLS)))])
            self.streams.queue.extend(self.words(stimulus))
            await self.streams.drain()
            flags = self.flags(stimulus)
            await self.bus.write(self.address("control"), 0xFFFFFFFE)  # no hold, and no flag that this might clear
            await self.bus.refuse(self.address("flags"), 0xFFFFFFFF, ALL >> 1)
            expect("flags", await self.read_flags(), flags)
            await self.status(True, flags != 0)
            some = junk(self.rng, self.ports.count)
            for n in range(self.map.flag_words):
                await self.bus.write(self.address("flags", n), some >> (32 * n))
            expect("flags behind a clear", await self.read_flags(), flags & ~some)
            self.bins["flags_up"] += flags != 0
            self.bins["words"] += stimulus.vectors * self.ports.columns
