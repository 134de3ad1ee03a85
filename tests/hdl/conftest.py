"""The unit in Amaranth's simulator beside the golden model."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Signal
from amaranth.sim import Simulator

from golden_model.fixed import Range
from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig
from hdl.nmpu import Nmpu
from hdl.nmpu.ports import input_fields, layer_fields, output_fields, parameter_fields


def draw(rng: np.random.Generator, of: Range, shape: Any = None) -> Any:
    """Random integers of a range, its ends often."""
    plain = rng.integers(of.lo, of.hi, size=shape, endpoint=True)
    ends = rng.choice([of.lo, of.hi, max(of.lo, min(of.hi, 0))], size=shape)
    return np.where(rng.random(shape) < 0.3, ends, plain)


def pack(values: dict[str, Any], fields: dict[str, Any]) -> int:
    """Join one struct's fields, lowest bits first."""
    word, low = 0, 0
    for name, field in fields.items():
        word |= (int(values[name]) & ((1 << field.width) - 1)) << low
        low += field.width
    return word


def unpack(word: int, fields: dict[str, Any], units: int) -> dict[str, list[int]]:
    """Split a payload into the lanes' fields."""
    result: dict[str, list[int]] = {name: [] for name in fields}
    for _ in range(units):
        for name, field in fields.items():
            code, word = word & ((1 << field.width) - 1), word >> field.width
            result[name].append(code - (1 << field.width) if field.signed and code >> (field.width - 1) else code)
    return result


class Bench:
    """One unit with its golden twin: loads parameters, streams words with random stalls, compares."""

    def __init__(self, config: NmpuConfig, seed: int = 0) -> None:
        self.config, self.rng = config, np.random.default_rng(seed)
        self.dut, self.reset = Nmpu(config), Signal()
        self.simulator = Simulator(self.dut)
        self.simulator.add_clock(1e-6)
        self.count = config.units * config.columns
        self.stored = {name: np.zeros(self.count, dtype=np.int64) for name in parameter_fields(config)}
        self.cycles = 0

    def run(self, process: Any) -> None:
        self.simulator.add_testbench(process)
        self.simulator.run()

    async def write(self, ctx: Any, column: int, values: dict[str, int]) -> None:
        fields = parameter_fields(self.config)
        mask = sum(1 << index for index, name in enumerate(fields) if name in values)
        noise = {name: values.get(name, int(draw(self.rng, Range(0, 1)))) for name in fields}
        port = self.dut.write
        ctx.set(port.en, 1)
        ctx.set(port.column, column)
        ctx.set(port.mask, mask)
        ctx.set(port.data.as_value(), pack(noise, fields))
        await ctx.tick()
        ctx.set(port.en, 0)
        for name, value in values.items():
            self.stored[name][column] = value

    async def load(self, ctx: Any) -> None:
        """Write random parameters to all columns, in random order, each column in two masked writes."""
        ranges = Columns.ranges(self.config)
        for column in self.rng.permutation(self.count):
            names = self.rng.permutation(list(self.stored))
            cut = int(self.rng.integers(0, len(names) + 1))
            for part in (names[:cut], names[cut:]):
                await self.write(ctx, int(column), {str(n): int(draw(self.rng, ranges[n])) for n in part})

    def offer_layer(self, ctx: Any, values: dict[str, int]) -> None:
        fields = layer_fields(self.config)
        ctx.set(self.dut.layer.en, 1)
        if fields:
            ctx.set(self.dut.layer.data.as_value(), pack(values, fields))

    async def set_layer(self, ctx: Any, values: dict[str, int]) -> None:
        self.offer_layer(ctx, values)
        await ctx.tick()
        ctx.set(self.dut.layer.en, 0)

    def random_layer(self) -> dict[str, int]:
        top = {"shift": self.config.max_layer_shift}
        return {name: int(draw(self.rng, Range(0, top.get(name, 1)))) for name in layer_fields(self.config)}

    def random_word(self) -> dict[str, Any]:
        config, units = self.config, self.config.units
        ranges = {"first": config.input_range, "second": config.input_range, "received": config.sum_range}
        ranges["residual"] = config.residual_input.range
        return {name: draw(self.rng, ranges[name], units) for name in input_fields(config)}

    def expect(self, layer: dict[str, int], t: int, word: dict[str, Any]) -> tuple[list[int], list[bool]]:
        """The golden model's word t: values and saturation."""
        config, units = self.config, self.config.units
        columns = Columns(**{name: codes[t * units : (t + 1) * units] for name, codes in self.stored.items()})
        golden = Layer(
            shift=layer.get("shift", 0),
            relu_before=bool(layer.get("relu_before", 0)),
            relu_after=bool(layer.get("relu_after", 0)),
        )
        output = nmpu(
            config,
            columns,
            golden,
            word["first"],
            word["second"] if config.input is Input.COUNTS else None,
            received=word["received"] if layer.get("receive") else None,
            residual=word["residual"] if layer.get("add_residual") else None,
            last=bool(layer.get("last", 1)),
        )
        return output.values.tolist(), np.broadcast_to(output.saturated, units).tolist()

    async def stream(self, ctx: Any, layer: dict[str, int], vectors: int, stall: float = 0.0) -> None:
        """Send vectors and compare codes, sums and flags."""
        config, dut, units = self.config, self.dut, self.config.units
        words = [self.random_word() for _ in range(vectors * config.columns)]
        fields = input_fields(config)
        packed = [
            sum(
                pack({n: w[n][u] for n in fields}, fields) << (u * sum(f.width for f in fields.values()))
                for u in range(units)
            )
            for w in words
        ]
        sent, got, flags, cycles = 0, 0, 0, 0
        sending = False
        while got < len(words):
            sending = sent < len(words) and (sending or self.rng.random() >= stall)
            ctx.set(dut.i.valid, sending)
            if sending:
                ctx.set(dut.i.payload.as_value(), packed[sent])
            ctx.set(dut.o.ready, self.rng.random() >= stall)
            if ctx.get(dut.i.valid) and ctx.get(dut.i.ready):
                sent, sending = sent + 1, False
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                t = got % config.columns
                values, saturated = self.expect(layer, t, words[got])
                result = unpack(ctx.get(dut.o.payload.as_value()), output_fields(config), units)
                last = bool(layer.get("last", 1))
                assert result["code"] == (values if last else [0] * units)
                if config.partial_sum:
                    assert result["sum"] == ([0] * units if last else values)
                for u, bit in enumerate(saturated):
                    flags |= bit << (t * units + u)
                got += 1
                if got == len(words):
                    assert ctx.get(dut.flags) == flags
            await ctx.tick()
            ctx.set(dut.layer.en, 0)
            cycles += 1
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.o.ready, 1)
        self.cycles = cycles


@pytest.fixture(name="draw")
def _draw() -> Any:
    return draw


@pytest.fixture
def bench() -> type[Bench]:
    return Bench
