"""Where bus and streams meet: writes while words are under way, hold, a clear in the cycle of a set, reset."""

from __future__ import annotations

from dataclasses import replace

import cocotb

from cocotb_tests.apb.checks import Checks, expect
from cocotb_tests.apb.streams import Word, edge_number
from cocotb_tests.checker import Mismatch
from cocotb_tests.contract import Stimulus
from cocotb_tests.drivers import junk
from cocotb_tests.scenario import Stall

LEAD = 5
"""Cycles by which the earliest clear comes before the word: more than a transfer takes."""


async def busy(checks: Checks, words: int = 60) -> None:
    """While words stream, parameters and layer registers are refused, and every word stays right; the rest answers."""
    stimulus = checks.contract.random(checks.config, checks.rng, 1 - (-words // checks.ports.columns))
    await checks.load(stimulus)
    checks.streams.stall(Stall.NEVER, Stall.OFTEN)
    checks.streams.queue.extend(checks.words(stimulus))
    while checks.streams.accepted == checks.streams.delivered:
        await checks.edge
        checks.streams.check()
    while len(checks.streams.queue) > checks.ports.columns:
        name = checks.ports.parameters.names[int(checks.rng.integers(len(checks.ports.parameters.names)))]
        address = checks.address(name, int(checks.rng.integers(checks.ports.count)))
        await checks.bus.refuse(address, junk(checks.rng, 32))
        await checks.bus.refuse(address)
        if checks.ports.layer.fields:
            await checks.bus.refuse(checks.address("layer"), junk(checks.rng, 32))
        await checks.status(False)
        checks.bins["busy"] += 1
        checks.streams.check()
    await checks.streams.drain()


async def held(checks: Checks, vectors: int) -> None:
    """The source never rests: hold, wait for idle, load other parameters, go on. No word is lost, none is mixed."""
    first = checks.contract.random(checks.config, checks.rng, vectors)
    second = replace(checks.contract.random(checks.config, checks.rng, 1), words=first.words)
    streams, columns = checks.streams, checks.ports.columns
    await checks.load(first)
    streams.stall(Stall.NEVER, Stall.SELDOM)
    start = streams.accepted
    streams.queue.extend(checks.words(first, second))
    while streams.accepted - start < vectors * columns // 3:
        await checks.edge
        streams.check()
    await checks.bus.write(checks.address("control"), 1)
    while not await checks.bus.read(checks.address("status")) & 1:
        streams.check()
    expect("words behind a hold, modulo the vector", (streams.accepted - start) % columns, 0)
    if not streams.queue:
        raise Mismatch("bench", "every word was sent before the hold")
    streams.chosen = 1
    await checks.load(second)
    expect("control", await checks.bus.read(checks.address("control")), 1)
    await checks.bus.write(checks.address("control"), 0)
    await streams.drain()
    streams.chosen = 0
    checks.bins["held"] += 1


async def shared(checks: Checks, vectors: int) -> None:
    """Parameters are read in the pauses between vectors, which end when they end: a word waits a cycle, stays right."""
    stimulus = checks.contract.random(checks.config, checks.rng, vectors)
    await checks.load(stimulus)
    checks.streams.stall(Stall.NEVER, Stall.NEVER)
    feeding = cocotb.start_soon(_with_pauses(checks, checks.words(stimulus)))
    field = checks.ports.parameters.fields[-1]
    while not feeding.done():
        column = int(checks.rng.integers(checks.ports.count))
        reply = await checks.bus.transfer(checks.address(field.name, column))
        if not reply.error:
            stored = int(stimulus.columns[field.name][column]) & 0xFFFFFFFF
            expect("a parameter between vectors", reply.data, stored)
        checks.bins["shared.error" if reply.error else "shared.read"] += 1
        checks.streams.check()
    await checks.streams.drain()


def _saturating(checks: Checks) -> tuple[Stimulus, int, int] | None:
    """Return a vector that saturates, one of its columns that does, and the word that column is in; if there is any."""
    for _ in range(200):
        stimulus = checks.contract.random(checks.config, checks.rng, 8)
        flagged = checks.contract.answer(checks.config, stimulus).flagged
        for vector, row in enumerate(flagged):
            if row.any():
                column = int(checks.rng.choice(row.nonzero()[0]))
                one = {name: values[vector : vector + 1] for name, values in stimulus.words.items()}
                return replace(stimulus, words=one), column, column // checks.ports.units
    return None


async def clear_against_set(checks: Checks) -> None:
    """A clear in every cycle around the one in which the flag rises: earlier ones and that very one leave it up.

    Left out, and no bin counted, where the configuration has no room to saturate.
    """
    found = _saturating(checks)
    if found is None:
        return
    stimulus, column, word = found
    await checks.load(stimulus)
    streams, latency = checks.streams, checks.latency
    streams.stall(Stall.NEVER, Stall.NEVER)
    seen: set[bool] = set()
    for delay in range(LEAD + latency + word + 3):
        await _clear_all(checks)
        streams.edges.clear()
        words = checks.words(stimulus)
        sending = cocotb.start_soon(_send_later(checks, words))
        for _ in range(delay):
            await checks.edge
        address = checks.address("flags", column // 32)
        checks.bus.brisk = True  # the transfer begins at once
        await checks.bus.write(address, 1 << (column % 32))
        checks.bus.brisk = False
        decided = edge_number() - 1  # the reply is seen one edge behind the one at which the flags take the clear
        await sending
        await streams.drain()
        first = streams.edges[0]
        risen = first + word + latency - 1  # the edge at which the word enters the output register
        up = bool(await checks.read_flags() >> column & 1)
        expect(f"flag {column}, cleared {decided - risen} cycles behind its rise", up, decided <= risen)
        checks.bins["clear.same_cycle"] += decided == risen
        seen.add(up)
    expect("both outcomes were seen", len(seen), 2)


async def _with_pauses(checks: Checks, words: list[Word]) -> None:
    """Send vector after vector, each some cycles behind the one before, often long enough for the unit to be idle."""
    columns = checks.ports.columns
    for start in range(0, len(words), columns):
        checks.streams.queue.extend(words[start : start + columns])
        while checks.streams.queue:
            await checks.edge  # whoever reads the registers meanwhile checks the streams
        for _ in range(int(checks.rng.integers(3 * checks.latency))):
            await checks.edge


async def _send_later(checks: Checks, words: list[Word]) -> None:
    for _ in range(LEAD):
        await checks.edge
    checks.streams.queue.extend(words)


async def _clear_all(checks: Checks) -> None:
    for n in range(checks.map.flag_words):
        await checks.bus.write(checks.address("flags", n), 0xFFFFFFFF)
    expect("flags", await checks.read_flags(), 0)


async def reset_inside(checks: Checks) -> None:
    """A reset in mid-stream, mid-transfer and under hold: words are lost, hold and flags go, parameters stay."""
    found = _saturating(checks)
    stimulus = checks.contract.random(checks.config, checks.rng, 1) if found is None else found[0]
    await checks.load(stimulus)
    checks.streams.stall(Stall.NEVER, Stall.NEVER)
    checks.streams.queue.extend(checks.words(stimulus))
    await checks.streams.drain()
    expect("flags", await checks.read_flags(), checks.flags(stimulus))
    checks.streams.stall(Stall.NEVER, Stall.OFTEN)
    checks.streams.queue.extend(checks.words(stimulus) * 4)
    for _ in range(3):
        await checks.edge
    await checks.bus.write(checks.address("control"), 1)
    checks.dut.apb__psel.value, checks.dut.apb__penable.value = 1, 0
    await checks.edge
    checks.dut.apb__penable.value = 1
    await checks.edge
    await checks.reset(1)
    expect("control", await checks.bus.read(checks.address("control")), 0)
    expect("flags", await checks.read_flags(), 0)
    await checks.status(True, False)
    for field in checks.ports.parameters.fields:
        for number in range(checks.ports.count):
            stored = int(stimulus.columns[field.name][number]) & 0xFFFFFFFF
            expect(f"{field.name} behind a reset", await checks.bus.read(checks.address(field.name, number)), stored)
    checks.streams.queue.extend(checks.words(stimulus))
    await checks.streams.drain()
    checks.bins["reset"] += 1
