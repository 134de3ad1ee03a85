"""The scale-factor array in Amaranth's simulator beside the golden model: sums, flags, counters, cycles, stalls."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.sim import Simulator

from golden_model.errors import UserError
from golden_model.scale_array import model
from golden_model.scale_array.config import HCIM_A, HCIM_B, HCIM_WIDE, ScaleArrayConfig
from golden_model.scale_array.image import to_image
from hdl.scale_array import Schedule, create
from hdl.scale_array.column import chain

pytestmark = pytest.mark.whole

CONFIGS = {
    "narrow, overflows": ScaleArrayConfig(columns=12, streams=5, scale_bits=2, sum_bits=4, counter_bits=6),
    "one stream": ScaleArrayConfig(columns=6, streams=1, scale_bits=3, sum_bits=6),
    "three passes": ScaleArrayConfig(columns=9, streams=2, scale_bits=1, sum_bits=3),
    "four passes, one word a row": ScaleArrayConfig(columns=8, streams=3, scale_bits=2, sum_bits=8),
}


def packed(values: Any, bits: int) -> int:
    """Join the lanes of a word, lane 0 lowest."""
    return sum((int(value) & ((1 << bits) - 1)) << (bits * lane) for lane, value in enumerate(values))


def unpacked(word: int, bits: int, lanes: int) -> list[int]:
    codes = [word >> (bits * lane) & ((1 << bits) - 1) for lane in range(lanes)]
    return [code - (1 << bits) if code >> (bits - 1) else code for code in codes]


class Bench:
    """One array: loads scales and mode, streams codes, gathers sums and the cycle in which each row left."""

    def __init__(self, config: ScaleArrayConfig) -> None:
        self.config, self.dut = config, create(config)
        self.cycle = 0

    def run(self, process: Any) -> None:
        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(process)
        simulator.run()

    async def load(self, ctx: Any, scales: Any, binary: int) -> None:
        config, dut = self.config, self.dut
        ctx.set(dut.write.en, 1)
        ctx.set(dut.write.mask, (1 << config.words) - 1)
        for row, line in enumerate(to_image(config, scales).splitlines()):
            ctx.set(dut.write.row, row)
            ctx.set(dut.write.data.as_value(), int(line, 16))
            await ctx.tick()
        ctx.set(dut.write.en, 0)
        ctx.set(dut.layer.en, 1)
        ctx.set(dut.layer.data.binary, binary)
        await ctx.tick()
        ctx.set(dut.layer.en, 0)

    async def stream(self, ctx: Any, codes: Any, rng: Any, stall: float = 0.0) -> tuple[Any, list[int], list[int]]:
        """Send arrays (arrays, streams, columns); return sums (arrays, columns), cycles of accepting and of leaving."""
        config, dut = self.config, self.dut
        words = codes.reshape(-1, config.columns)
        left, accepted, rows, sent, cycle = [], [], [], 0, 0
        offering = False
        while len(rows) < len(codes) * config.slots:
            offering = offering or (sent < len(words) and rng.random() >= stall)
            taking = rng.random() >= stall
            ctx.set(dut.i.valid, int(offering))
            ctx.set(dut.i.payload.as_value(), packed(words[sent], 2) if offering else 0)
            ctx.set(dut.o.ready, int(taking))
            if ctx.get(dut.o.valid) and taking:
                rows.append(unpacked(ctx.get(dut.o.payload.as_value()), config.sum_bits, config.lanes))
                left.append(cycle)
            if offering and ctx.get(dut.i.ready):
                sent, offering = sent + 1, False
                accepted.append(cycle)
            await ctx.tick()
            cycle += 1
            assert cycle < 40 * len(words) * config.slots, "the array stands still"
        ctx.set(dut.i.valid, 0)
        order = model.read_out(config).ravel()
        sums = np.empty((len(codes), config.columns), np.int64)
        sums[:, order] = np.array(rows).reshape(len(codes), -1)
        return sums, accepted, left


def test_the_chain_adds_and_subtracts_every_word() -> None:
    """Six columns, a scale of three: every sum and scale, both ways, in one word and in two words of three columns."""
    m = Module()
    held, scale, subtract, split = (Signal(6), Signal(3), Signal(), Signal())
    below = Cat(scale, Mux(split, scale, 0))
    latches = ([row[:3], row[3:]] for row in (held & below, ~(held | below), below))
    totals, _ = chain(m, *latches, Cat(1, split), subtract.replicate(2))
    total = Cat(totals)

    async def process(ctx: Any) -> None:
        for a, b, taking, halves in product(range(64), range(8), range(2), range(2)):
            for signal, value in zip((held, scale, subtract, split), (a, b, taking, halves), strict=True):
                ctx.set(signal, value)
            step = -b if taking else b
            apart = (a + step) % 8 + ((a // 8 + step) % 8) * 8
            assert ctx.get(total) == (apart if halves else (a + step) % 64)

    simulator = Simulator(m)
    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.parametrize("name", CONFIGS)
def test_sums_flags_and_counters(name: str) -> None:
    config, rng = CONFIGS[name], np.random.default_rng(3)
    bench, dut = Bench(config), None
    dut = bench.dut

    async def process(ctx: Any) -> None:
        seen = 0
        for number in range(12):
            binary, shape = number % 3 == 2, (4, config.streams, config.columns)
            scales = rng.integers(0, config.scale_range.hi, (config.streams, config.columns), endpoint=True)
            codes = rng.choice(4, shape, p=[0.5, 0.2, 0.02, 0.28])
            assert ctx.get(dut.idle) == 1
            await bench.load(ctx, scales, int(binary))
            sums, _, _ = await bench.stream(ctx, codes, rng, stall=0.4 * (number % 2))
            found = model.scale_array(config, scales, codes, binary_mode=binary)
            assert np.array_equal(sums, found.values)
            flags = np.asarray(found.flagged).any(0)
            assert ctx.get(dut.flags) == packed(flags, 1)
            seen += int(flags.sum())
            done = model.activity(config, model.decode(codes, binary)[0])
            for counter in model.Activity.__slots__:
                assert ctx.get(getattr(dut.activity, counter)) == getattr(done, counter) % (1 << config.counter_bits)
        assert seen > 3

    bench.run(process)


@pytest.mark.parametrize(("config", "cycles"), [(HCIM_A, 34), (HCIM_B, 34), (HCIM_WIDE, 50)], ids=["a", "b", "wide"])
def test_published_configurations_take_their_cycles(config: ScaleArrayConfig, cycles: int) -> None:
    """From the first stream to the last sum; a stream every `slots` cycles, an array right behind the other."""
    rng = np.random.default_rng(5)
    scales = rng.integers(0, config.scale_range.hi, (config.streams, config.columns), endpoint=True)
    codes = rng.choice([0, 1, 3], (3, config.streams, config.columns), p=[0.6, 0.2, 0.2])
    bench = Bench(config)
    assert bench.dut.latency == 3

    async def process(ctx: Any) -> None:
        await bench.load(ctx, scales, 0)
        sums, accepted, left = await bench.stream(ctx, codes, rng)
        assert np.array_equal(sums, model.scale_array(config, scales, codes).values)
        assert np.diff(accepted).tolist() == [config.slots] * (3 * config.streams - 1)
        first, last = np.array(accepted)[:: config.streams], np.array(left).reshape(3, -1)
        assert (last[:, -1] - first).tolist() == [cycles] * 3
        assert Schedule(config).cycles == config.cycles == cycles
        assert (np.diff(last, axis=1) == 1).all()

    bench.run(process)


def test_more_columns_than_one_array_can_have_are_refused() -> None:
    with pytest.raises(UserError, match="columns = 8192: one array has at most 4096 columns"):
        create(ScaleArrayConfig(columns=8192))
