"""The FP16 unit in hardware against the golden model: every setting of a layer (a third for codes), stalls, flags."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from golden_model.errors import UserError
from golden_model.fixed import INT8, UQ
from golden_model.fp16_unit import Fp16Columns, Fp16Config, fp16_unit
from golden_model.nmpu_config import Input
from hdl.fp16_unit import create
from hdl.fp16_unit.ports import input_fields, layer_fields, output_fields, parameter_fields
from tests.hdl.test_hdl_float16 import halves, real

pytestmark = pytest.mark.whole

COLUMNS = 3
CONFIGS = {
    "counts": Fp16Config(columns=COLUMNS),
    "code": Fp16Config(input=Input.CODE, input_bits=9, columns=COLUMNS, multiply_add_cycles=2, output=UQ(8, 0)),
    "int8": Fp16Config(int8=True, columns=COLUMNS, multiply_add_cycles=1, output=INT8),
    "int8_code": Fp16Config(int8=True, input=Input.CODE, input_bits=13, columns=COLUMNS, multiply_add_cycles=6),
}


def parameters(rng: np.random.Generator) -> Fp16Columns:
    """Mostly typical, so that codes are not all saturated; some of any bits."""
    typical = {"scale_p": 0.05, "scale_n": 0.05, "offset": 20.0, "gamma": 1.0, "beta": 20.0, "receive": 0.5}
    columns = {}
    for name, size in typical.items():
        usual = (rng.normal(0, size, COLUMNS)).astype(np.float16)
        columns[name] = np.where(rng.random(COLUMNS) < 0.2, real(halves(rng, COLUMNS)), usual)
    return Fp16Columns(**columns)


def modes(config: Fp16Config) -> list[dict[str, int]]:
    names = list(layer_fields(config))
    return [dict(zip(names, bits, strict=True)) for bits in product((0, 1), repeat=len(names))]


def packed(layout: dict[str, Any], values: dict[str, int]) -> int:
    word = low = 0
    for name, of in layout.items():
        word |= (int(values[name]) & ((1 << of.width) - 1)) << low
        low += of.width
    return word


def unpacked(layout: dict[str, Any], word: int) -> dict[str, int]:
    values = {}
    for name, of in layout.items():
        value = word & ((1 << of.width) - 1)
        values[name] = value - (1 << of.width) if of.signed and value >> (of.width - 1) else value
        word >>= of.width
    return values


def expected(config: Fp16Config, columns: Fp16Columns, mode: dict[str, int], words: dict[str, Any]) -> Any:
    """The golden model, and each output field: 0 but for the one that the mode chooses."""
    received = words["received"] if config.int8 else real(words["received"].astype(np.uint16))
    last, logits = bool(mode["last"]), bool(mode["logits"] and mode["last"])
    output = fp16_unit(
        config,
        columns,
        words["first"],
        words.get("second"),
        received=received if mode["receive"] else None,
        residual=words["residual"] if mode["add_residual"] else None,
        relu_before=bool(mode["relu_before"]),
        relu_after=bool(mode["relu_after"]),
        last=last,
        logits=logits,
    )
    half = logits or not (last or config.int8)
    field = "half" if half else "code" if last else "sum"
    values = output.values.view(np.uint16) if half else output.values
    return field, values.astype(np.int64), np.asarray(output.saturated)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_mode_with_stalls(name: str) -> None:
    config = CONFIGS[name]
    unit = create(config)
    rng = np.random.default_rng(11)
    ins, outs, stored = input_fields(config), output_fields(config), parameter_fields(config)
    layer_layout = layer_fields(config)
    chosen = modes(config)[:: 3 if config.input is Input.CODE else 1]
    seen = dict.fromkeys(outs, 0)

    async def bench(ctx: Any) -> None:
        for number, mode in enumerate(chosen):
            columns = parameters(rng)
            shape = (2, COLUMNS)
            words = {"first": rng.integers(config.input_range.lo, config.input_range.hi, shape, endpoint=True)}
            if config.input is Input.COUNTS:
                words["second"] = rng.integers(0, config.input_range.hi, shape, endpoint=True)
            words["received"] = (
                rng.integers(-128, 127, shape, endpoint=True)
                if config.int8
                else halves(rng, shape[0] * shape[1]).reshape(shape).astype(np.int64)
            )
            words["residual"] = rng.integers(-128, 127, shape, endpoint=True)
            field, values, flagged = expected(config, columns, mode, words)
            assert ctx.get(unit.idle) == 1
            ctx.set(unit.write.en, 1)
            for column in range(COLUMNS):
                bits = {n: getattr(columns, n).view(np.uint16)[column] for n in stored}
                ctx.set(unit.write.column, column)
                ctx.set(unit.write.mask, (1 << len(stored)) - 1)
                ctx.set(unit.write.data.as_value(), packed(stored, bits))
                await ctx.tick()
            ctx.set(unit.write.en, 0)
            ctx.set(unit.layer.en, 1)
            ctx.set(unit.layer.data.as_value(), packed(layer_layout, mode))
            await ctx.tick()
            ctx.set(unit.layer.en, 0)
            sent, got, cycles, first = 0, [], 0, None
            flat = {n: v.ravel() for n, v in words.items()}
            total = shape[0] * COLUMNS
            stall = number % 2
            while len(got) < total:
                offering = sent < total and not (stall and rng.random() < 0.3)
                taking = not (stall and rng.random() < 0.3)
                ctx.set(unit.i.valid, int(offering))
                if offering:
                    ctx.set(unit.i.payload.as_value(), packed(ins, {n: v[sent] for n, v in flat.items()}))
                ctx.set(unit.o.ready, int(taking))
                if ctx.get(unit.o.valid) and taking:
                    first = cycles if first is None else first
                    got.append(unpacked(outs, ctx.get(unit.o.payload.as_value())))
                sent += offering and ctx.get(unit.i.ready)
                await ctx.tick()
                cycles += 1
                assert cycles < 1000, "the unit stands still"
            if not stall:
                assert first == unit.latency and cycles == total + unit.latency
            wanted = [{n: int(v) if n == field else 0 for n in outs} for v in values.ravel()]
            assert got == wanted, mode
            flags = flagged.any(axis=0)
            assert ctx.get(unit.flags) == sum(int(flag) << column for column, flag in enumerate(flags)), mode
            seen[field] += sum(1 for value in values.ravel() if value)

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert all(count > 10 for count in seen.values()), seen


def test_parameters_are_named_as_the_golden_models() -> None:
    assert list(parameter_fields(Fp16Config())) == [f.name for f in fields(Fp16Columns)]


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(UserError, match="multiply_add_cycles = 7: allowed are 1 to 6"):
        replace(Fp16Config(), multiply_add_cycles=7)
    with pytest.raises(UserError, match="at most 65536"):
        create(Fp16Config(columns=65537))
