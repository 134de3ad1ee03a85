"""The unit in Amaranth's simulator against the golden model: streams, parameters, flags, reset."""

import pytest
from amaranth.hdl import ResetInserter
from amaranth.sim import Simulator

from golden_model.errors import UserError
from golden_model.fixed import INT8, SQ, UQ, Format, Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from hdl.nmpu import create
from hdl.nmpu.ports import layer_fields

CONFIGS = {
    "default lane": NmpuConfig(units=2, columns=2),
    "one column": NmpuConfig(units=1, columns=1),
    "three by five": NmpuConfig(units=3, columns=5, int8=True, input_bits=8),
    "counts alone": NmpuConfig(units=2, columns=2, partial_sum=False, residual=False, relu=False),
    "code": NmpuConfig(units=2, columns=2, input=Input.CODE, partial_sum=False, residual=False, cut_pre=3, cut_post=1),
    "every stage": NmpuConfig(units=2, columns=3, batch_norm=True, max_column_shift=7, max_layer_shift=3),
    "every stage, code": NmpuConfig(units=2, columns=2, input=Input.CODE, batch_norm=True, int8=True, cut_pre=2),
    "batch norm, no sums": NmpuConfig(units=2, columns=2, batch_norm=True, partial_sum=False, residual=False),
    "residual, no sums": NmpuConfig(units=2, columns=2, partial_sum=False, relu=False, rounding=Rounding.HALF_EVEN),
    "deep shifts": NmpuConfig(units=2, columns=2, max_layer_shift=24, max_column_shift=7, rounding=Rounding.HALF_AWAY),
    "coarse": NmpuConfig(
        units=2, columns=2, scale=UQ(1, 3), offset=SQ(5, 4), guard=4, max_residual_shift=0, rounding=Rounding.FLOOR,
        output=Format(False, 4, 0), residual_input=Format(False, 4, 0), input_bits=5,
    ),
    # floor(T) of a column of one tile is below the least partial sum: the saturation must be off there
    "least sums": NmpuConfig(
        units=2, columns=2, input_bits=2, scale=UQ(0, 2), offset=SQ(2, 0), guard=0, max_tiles=1, residual=False,
        output=INT8,
    ),
    "int8 batch norm": NmpuConfig(
        units=2, columns=2, int8=True, batch_norm=True, bn_scale=UQ(2, 3), bn_offset=SQ(4, 6), max_bn_shift=0,
        output=INT8, max_tiles=1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_unit_is_the_golden_model(bench, config):
    it = bench(config, seed=1)

    async def process(ctx):
        for _ in range(6):
            await it.load(ctx)
            layer = it.random_layer()
            await it.set_layer(ctx, layer)
            assert ctx.get(it.dut.flags) == 0
            await it.stream(ctx, layer, vectors=6, stall=0.3)

    it.run(process)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_word_accepted_with_the_write_of_the_layer_finds_it(bench, config):
    """A cycle earlier than is allowed: the two cycles of `standing` registers in static timing rest on it."""
    it = bench(config, seed=2)
    ones = {name: (1 << of.width) - 1 for name, of in layer_fields(config).items()}

    async def process(ctx):
        for _ in range(24):
            await it.load(ctx)
            layer = it.random_layer()
            await it.set_layer(ctx, {name: ones[name] ^ value for name, value in layer.items()})
            await ctx.tick()
            it.offer_layer(ctx, layer)
            await it.stream(ctx, layer, vectors=1)

    it.run(process)


LATENCIES = {
    "affine alone": (NmpuConfig(units=1, columns=2, partial_sum=False, residual=False), 3),
    "partial sums": (NmpuConfig(units=1, columns=2, residual=False), 4),
    "default": (NmpuConfig(units=1, columns=2), 5),
    "every stage": (NmpuConfig(units=1, columns=2, batch_norm=True), 7),
}


@pytest.mark.parametrize(("config", "cycles"), LATENCIES.values(), ids=LATENCIES.keys())
def test_latency_and_one_word_a_cycle(bench, config, cycles):
    it = bench(config)
    assert it.dut.latency == cycles == sum(latency for _, _, latency in it.dut.schedule.table)

    async def process(ctx):
        await it.set_layer(ctx, it.random_layer())
        ctx.set(it.dut.i.valid, 1)
        ctx.set(it.dut.o.ready, 1)
        seen = []
        for _ in range(cycles + 20):
            assert ctx.get(it.dut.i.ready)
            seen.append(ctx.get(it.dut.o.valid))
            await ctx.tick()
        assert seen == [0] * cycles + [1] * 20

    it.run(process)


def test_ready_falls_only_where_the_output_waits(bench):
    it = bench(NmpuConfig(units=1, columns=1), seed=5)

    async def process(ctx):
        for _ in range(300):
            ctx.set(it.dut.i.valid, it.rng.random() < 0.6)
            ctx.set(it.dut.o.ready, it.rng.random() < 0.6)
            waits = ctx.get(it.dut.o.valid) and not ctx.get(it.dut.o.ready)
            assert ctx.get(it.dut.i.ready) == (not waits)
            await ctx.tick()

    it.run(process)


def test_an_output_that_waits_does_not_change(bench):
    it = bench(NmpuConfig(units=1, columns=2), seed=6)

    async def process(ctx):
        await it.load(ctx)
        await it.set_layer(ctx, it.random_layer())
        for _ in range(200):
            ctx.set(it.dut.i.valid, it.rng.random() < 0.7)
            ctx.set(it.dut.i.payload.as_value(), int(it.rng.integers(1 << 53)))
            ctx.set(it.dut.o.ready, it.rng.random() < 0.3)
            waits = ctx.get(it.dut.o.valid) and not ctx.get(it.dut.o.ready)
            before = ctx.get(it.dut.o.payload.as_value())
            await ctx.tick()
            assert not waits or (ctx.get(it.dut.o.valid) and ctx.get(it.dut.o.payload.as_value()) == before)

    it.run(process)


def test_reset_clears_control_and_flags_and_keeps_parameters(bench):
    config = NmpuConfig(units=2, columns=3)
    it = bench(config, seed=3)
    reset = ResetInserter(it.reset)(it.dut)
    it.simulator = Simulator(reset)
    it.simulator.add_clock(1e-6)

    async def process(ctx):
        await it.load(ctx)
        layer = it.random_layer() | {"last": 1}
        await it.set_layer(ctx, layer)
        for accepted in (1, 4, 7, 9):
            ctx.set(it.dut.o.ready, 0)
            ctx.set(it.dut.i.valid, 1)
            ctx.set(it.dut.i.payload.as_value(), (1 << 106) - 1)
            for _ in range(accepted):
                await ctx.tick()
            ctx.set(it.dut.i.valid, 0)
            ctx.set(it.reset, 1)
            await ctx.tick()
            ctx.set(it.reset, 0)
            assert ctx.get(it.dut.idle) and not ctx.get(it.dut.o.valid) and ctx.get(it.dut.flags) == 0
            await it.stream(ctx, layer, vectors=3, stall=0.2)
            await it.set_layer(ctx, layer)

    it.run(process)


def test_idle_between_vectors_and_not_within(bench):
    it = bench(NmpuConfig(units=1, columns=3, partial_sum=False, residual=False))

    async def process(ctx):
        ctx.set(it.dut.o.ready, 1)
        for word in range(6):
            assert ctx.get(it.dut.idle) == (word % 3 == 0)
            ctx.set(it.dut.i.valid, 1)
            await ctx.tick()
            ctx.set(it.dut.i.valid, 0)
            for _ in range(it.dut.latency):
                assert not ctx.get(it.dut.idle)
                await ctx.tick()
            assert not ctx.get(it.dut.o.valid)

    it.run(process)


def test_flags_stay_until_their_column_or_the_layer_is_written(bench):
    config = NmpuConfig(units=2, columns=2, input=Input.CODE, partial_sum=False, residual=False)
    it = bench(config)

    async def process(ctx):
        await it.set_layer(ctx, {"relu_after": 0})
        for column in range(4):
            await it.write(ctx, column, {"scale_p": 255, "negate": column & 1})
        for expected in (0b0111, 0b1111):
            ctx.set(it.dut.o.ready, 1)
            ctx.set(it.dut.i.valid, 1)
            for code in (2047 | 2047 << 12, (2047 | 2047 << 12) if expected == 0b1111 else 2047):
                ctx.set(it.dut.i.payload.as_value(), code)
                await ctx.tick()
            ctx.set(it.dut.i.valid, 0)
            for _ in range(it.dut.latency):
                await ctx.tick()
            assert ctx.get(it.dut.flags) == expected
        for column, left in ((1, 0b1101), (3, 0b0101), (0, 0b0100)):
            await it.write(ctx, column, {})
            assert ctx.get(it.dut.flags) == left
        await it.set_layer(ctx, {"relu_after": 0})
        assert ctx.get(it.dut.flags) == 0

    it.run(process)


def test_a_write_to_a_column_that_does_not_exist_changes_nothing(bench):
    it = bench(NmpuConfig(units=3, columns=2, partial_sum=False, residual=False), seed=2)

    async def process(ctx):
        await it.load(ctx)
        layer = it.random_layer()
        await it.set_layer(ctx, layer)
        stored = {name: codes.copy() for name, codes in it.stored.items()}
        for column in (6, 7):
            ctx.set(it.dut.write.en, 1)
            ctx.set(it.dut.write.column, column)
            ctx.set(it.dut.write.mask, -1)
            ctx.set(it.dut.write.data.as_value(), -1)
            await ctx.tick()
        ctx.set(it.dut.write.en, 0)
        it.stored = stored
        await it.stream(ctx, layer, vectors=3)

    it.run(process)


def test_what_nobody_builds_is_refused():
    with pytest.raises(UserError, match=r"units = 65536, columns = 4: one unit has at most 4096 lanes"):
        create(NmpuConfig(units=65536))
