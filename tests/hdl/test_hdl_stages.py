"""Every stage, and the pairs that make one golden function, against the golden model: corners and random, exact."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from golden_model import nmpu as golden
from golden_model.fixed import INT8, SQ, UQ, Format, Range, Rounding, round_shift
from golden_model.nmpu import Fixed
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig
from hdl.fixed import shape
from hdl.nmpu.accumulate import Accumulate, Compress, Gather, Limit
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import (
    AddResidual,
    BatchNormAdd,
    BatchNormMultiply,
    Relu,
    Requantise,
    ResidualMultiply,
    ResidualShift,
)

COUNT = 150

BASES = {
    "counts": NmpuConfig(batch_norm=True),
    "code": NmpuConfig(input=Input.CODE),
    "shifts": NmpuConfig(max_layer_shift=5, max_column_shift=7),
    "code, shifts, cut": NmpuConfig(input=Input.CODE, max_column_shift=7, cut_pre=5, cut_post=2),
    "int8": NmpuConfig(int8=True, batch_norm=True, max_bn_shift=0, max_residual_shift=0, max_tiles=1),
    "int8, folded": NmpuConfig(int8=True),
    "coarse": NmpuConfig(
        input_bits=3, scale=UQ(0, 2), offset=SQ(3, 4), guard=4, bn_scale=UQ(1, 2), bn_offset=SQ(3, 6), batch_norm=True
    ),
    "least sums": NmpuConfig(input_bits=2, scale=UQ(0, 2), offset=SQ(2, 0), guard=0, max_tiles=1, residual=False),
    "sums at T's fraction": NmpuConfig(scale=UQ(2, 2), offset=SQ(6, 2), guard=2, output=INT8),
    "code alone": NmpuConfig(input=Input.CODE, partial_sum=False, residual=False),
    "counts alone": NmpuConfig(scale=UQ(0, 2), offset=SQ(3, 4), partial_sum=False, residual=False, guard=0),
    "code alone, fine offset": NmpuConfig(
        input=Input.CODE, input_bits=5, scale=UQ(1, 3), offset=SQ(3, 3), partial_sum=False, residual=False
    ),
    "unsigned out": NmpuConfig(residual_input=Format(False, 4, 0), output=Format(False, 4, 0), max_tiles=5, cut_pre=1),
    "rows": NmpuConfig(carry_save=True),
    "rows, batch norm": NmpuConfig(carry_save=True, batch_norm=True),
}
CONFIGS = {
    f"{name}, {mode.value}": NmpuConfig(**{f: getattr(base, f) for f in base.__dataclass_fields__} | {"rounding": mode})
    for name, base in BASES.items()
    for mode in Rounding
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
with_sums = pytest.mark.parametrize(
    "config", [c for c in CONFIGS.values() if c.partial_sum], ids=[n for n, c in CONFIGS.items() if c.partial_sum]
)
with_residual = pytest.mark.parametrize(
    "config", [c for c in CONFIGS.values() if c.residual], ids=[n for n, c in CONFIGS.items() if c.residual]
)


class Chain(wiring.Component):
    """Stages one behind the other without registers: ports are the inputs that no stage makes, and all outputs."""

    def __init__(self, *stages):
        self.stages = stages
        inputs, outputs = {}, {}
        for stage in stages:
            inputs |= {name: of for name, of in stage.inputs.items() if name not in outputs}
            outputs |= stage.outputs
        self.inputs = inputs
        self.outputs = {f"{name}_out" if name in inputs else name: name for name in outputs}
        ports = {name: In(shape(of)) for name, of in inputs.items()}
        super().__init__(ports | {port: Out(shape(outputs[name])) for port, name in self.outputs.items()})

    def elaborate(self, platform):
        m = Module()
        values = {name: getattr(self, name) for name in self.inputs}
        for stage in self.stages:
            values |= stage.place(m, "", **values)
        m.d.comb += [getattr(self, port).eq(values[name]) for port, name in self.outputs.items()]
        return m


def drive(draw, stages, fixed=None):
    """Run a chain on random inputs; return inputs and outputs as arrays by name. `fixed` inputs are given."""
    chain, rng = Chain(*stages), np.random.default_rng(7)
    data = {name: draw(rng, of, COUNT) for name, of in chain.inputs.items()} | (fixed or {})
    results = {name: [] for name in chain.outputs.values()}

    async def process(ctx):
        for index in range(COUNT):
            for name in chain.inputs:
                ctx.set(getattr(chain, name), int(data[name][index]))
            for port, name in chain.outputs.items():
                results[name].append(ctx.get(getattr(chain, port)))

    simulator = Simulator(chain)
    simulator.add_testbench(process)
    simulator.run()
    return data, {name: np.array(values) for name, values in results.items()}


def columns(data, **renamed):
    """Return the golden model's parameters from a chain's inputs."""
    fields = Columns.__dataclass_fields__
    return Columns(**{"scale_p": 0} | {renamed.get(n, n): v for n, v in data.items() if renamed.get(n, n) in fields})


@pytest.mark.parametrize(
    "config",
    [c for c in CONFIGS.values() if not Datapath(c).carry_save],
    ids=[n for n, c in CONFIGS.items() if not Datapath(c).carry_save],
)
def test_affine(draw, config):
    k = {name: top for name, top in (("layer_shift", config.max_layer_shift),) if top}
    layer_shift = next(iter(k.values()), 0) // 2
    fixed = {name: np.full(COUNT, layer_shift) for name in k}
    data, found = drive(draw, (Multiply(config), Affine(config)), fixed)
    total = golden.affine(config, columns(data), Layer(shift=layer_shift), data["first"], data.get("second"))
    if Datapath(config).fused:
        assert (found["total"] == round_shift(total.integers, total.fraction, config.rounding)).all()
    else:
        assert (found["total"] == total.integers << (Datapath(config).affine_fraction - total.fraction)).all()


@with_sums
def test_compress_and_accumulate(draw, config):
    path = Datapath(config)
    data, found = drive(draw, (Compress(config), Accumulate(config)))
    rounded = data.get("rounded", np.ones(COUNT, dtype=np.int64))
    data, found = drive(draw, (Compress(config), Accumulate(config)), {"received": data["received"] * rounded})
    total = Fixed(data["total"], path.affine_fraction)
    summed = golden.accumulate(config, golden.compress(config, total), data["received"])
    aligned = summed.values << (path.compression if path.chooses else 0)
    assert (found["total"] == np.where(rounded, aligned, data["total"])).all()
    assert (found["sum_saturated"] == summed.saturated * rounded).all()


@pytest.mark.parametrize(
    "config",
    [c for c in CONFIGS.values() if Datapath(c).gathers],
    ids=[n for n, c in CONFIGS.items() if Datapath(c).gathers],
)
def test_gather_is_affine_compress_and_accumulate(draw, config):
    path = Datapath(config)
    stages = (Multiply(config), Gather(config), *([Limit(config)] if path.limits else []))
    data, _ = drive(draw, stages)
    rounded = data.get("rounded", np.ones(COUNT, dtype=np.int64))
    received = data["received"] * rounded
    data, found = drive(draw, stages, {"received": received})
    total = golden.affine(config, columns(data), Layer(), data["first"], data.get("second"))
    summed = golden.accumulate(config, golden.compress(config, total), received)
    aligned = summed.values << (path.compression if path.chooses else 0)
    exact = total.integers << (path.affine_fraction - total.fraction)
    whole = np.where(rounded, aligned, exact)
    assert (found["total"] == np.where(data.get("relu_before", 0) & (whole < 0), 0, whole)).all()
    assert (found["sum_saturated"] == summed.saturated * rounded).all()


@pytest.mark.parametrize("config", [c for c in CONFIGS.values() if Datapath(c).carry_save])
def test_two_rows_are_the_affine_correction(draw, config):
    path = Datapath(config)
    data, found = drive(draw, (Multiply(config),))
    total = golden.affine(config, columns(data), Layer(), data["first"], data.get("second"))
    assert (found["row_a"] + found["row_b"] == total.integers + path.rows_bias).all()


@pytest.mark.parametrize("config", [c for c in CONFIGS.values() if c.batch_norm], ids=lambda c: c.rounding.value)
def test_batch_norm(draw, config):
    data, found = drive(draw, (BatchNormMultiply(config), BatchNormAdd(config)))
    total = golden.batch_norm(config, columns(data), data["total"])
    assert (found["total"] == total.integers << (Datapath(config).total_fraction - total.fraction)).all()


@with_residual
def test_relu(draw, config):
    data, found = drive(draw, (Relu(config),))
    total = Fixed(data["total"], Datapath(config).total_fraction)
    assert (found["total"] == np.where(data["relu_before"], golden.relu(total).integers, data["total"])).all()


@with_residual
def test_residual(draw, config):
    path = Datapath(config)
    data, found = drive(draw, (ResidualMultiply(config), ResidualShift(config), AddResidual(config)))
    total = Fixed(data["total"], path.total_fraction)
    added = golden.add_residual(config, columns(data), total, data["residual"] * data["add"])
    assert (found["total"] == added.integers << (path.final_fraction - added.fraction)).all()


@each
def test_requantise(draw, config):
    path = Datapath(config)
    final, rng = path.final, np.random.default_rng(3)
    near = rng.integers(-300, 300, COUNT) << path.final_fraction >> 1  # integers and ties, around the output's range
    near = np.where(rng.random(COUNT) < 0.5, near, near + rng.integers(-1, 2, COUNT)).clip(final.lo, final.hi)
    for values in ({}, {"total": near}):
        data, found = drive(draw, (Requantise(config),), values)
        total = Fixed(data["total"], path.final_fraction)
        positive = golden.requantise(config, golden.relu(total))
        plain = golden.requantise(config, total)
        relu = data["relu_after"] == 1
        assert (found["code"] == np.where(relu, positive.values, plain.values)).all()
        assert (found["saturated"] == np.where(relu, positive.saturated, plain.saturated)).all()


def test_a_stage_alone_is_a_component(draw):
    stage = Multiply(NmpuConfig(max_column_shift=1))
    alone = stage.component()
    seen = []

    async def process(ctx):
        for name, value in (("first", 4095), ("second", 1), ("scale_p", 255), ("scale_n", 3)):
            ctx.set(getattr(alone, name), value)
        seen.append((ctx.get(alone.added), ctx.get(alone.taken)))
        ctx.set(alone.negate, 1)
        seen.append((ctx.get(alone.added), ctx.get(alone.taken)))

    simulator = Simulator(alone)
    simulator.add_testbench(process)
    simulator.run()
    assert seen == [(4095 * 255, 3), (255, 4095 * 3)]
    assert stage.label == "multiply"


def test_ranges_are_what_the_design_says():
    path = Datapath(NmpuConfig(partial_sum=False, residual=False))
    assert path.affine == Range(-1_052_417, 1_052_353)
    assert Datapath(NmpuConfig()).final_fraction == 14
