"""A programmed layer finished by each unit, against the golden functions in numpy; the batch changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from golden_model import fp16_unit, nmpu
from golden_model.fixed import UQ
from golden_model.fp16_unit import Fp16Columns
from golden_model.nmpu_config import Columns, Layer, NmpuConfig
from sim import noise
from sim.array import Geometry
from sim.digital import Digital, Fp16Unit, NmpuUnit
from sim.kernels import compiler_stands
from sim.presets import preset
from sim.tile import ProgrammedLayer, program

COLUMNS = 12


def layer(channels: int = 64, *, signed: bool = False) -> ProgrammedLayer:
    generator = np.random.default_rng(5)
    weights = generator.normal(size=(COLUMNS, channels, 3, 3))
    programmed = program(
        preset("hermes"), weights, Geometry(kernel=(3, 3), padding=(1, 1)), signed=signed, seed=1, layer=2
    )
    programmed.set_full_scale(1_500_000)
    return programmed


def codes(channels: int = 64, *, signed: bool = False) -> torch.Tensor:
    generator = np.random.default_rng(6)
    values = generator.integers(-127 if signed else 0, 128, (4, channels, 8, 8)).astype(np.float32)
    return torch.from_numpy(values).contiguous(memory_format=torch.channels_last)


def keys(count: int = 4, first: int = 0) -> torch.Tensor:
    return noise.row_keys(noise.key(1), torch.arange(first, first + count, dtype=torch.int32), 64)


def integer_parameters(tiles: int, config: NmpuConfig) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(7)
    ranges = {name: r for name, r in Columns.ranges(config).items() if r.hi}
    drawn = {name: generator.integers(r.lo, r.hi + 1, COLUMNS) for name, r in ranges.items()}
    return [
        {
            name: codes if not name.startswith("scale") else generator.integers(0, 256, COLUMNS)
            for name, codes in drawn.items()
            if index == 0 or name != "offset"
        }
        for index in range(tiles)
    ]


@pytest.mark.parametrize("logits", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        NmpuConfig(max_column_shift=3),
        NmpuConfig(int8=True),
        NmpuConfig(batch_norm=True, max_layer_shift=4),
        NmpuConfig(scale=UQ(1, 9), guard=5),
        NmpuConfig(cut_pre=3, cut_post=2),
    ],
    ids=["folded", "int8", "bn_after", "wide", "cuts"],
)
def test_nmpu_in_the_tile_is_the_golden_model(config: NmpuConfig, logits: bool) -> None:
    programmed, x = layer(), codes()
    run = Layer(shift=min(2, config.max_layer_shift), relu_after=True)
    parameters = integer_parameters(3, config)
    readings = programmed.read(x, keys())
    residual = codes(COLUMNS, signed=True)
    operand = residual.permute(0, 2, 3, 1).reshape(-1, COLUMNS).long().numpy()
    received, flagged = None, np.zeros((), bool)
    for index, (first, second) in enumerate(readings):
        assert second is not None
        last = index == 2
        out = nmpu.nmpu(
            config, Columns(**parameters[index]), run, first.long().numpy(), second.long().numpy(), received=received,
            residual=operand if last else None, last=last and not logits,
        )  # fmt: skip
        received, flagged = out.values, flagged | out.saturated
    expected = received / 2.0 ** (config.sum_fraction + config.cut_post) if logits else received
    for dtype in (torch.int64, torch.int32):
        tensors = [{k: torch.from_numpy(v).to(dtype) for k, v in tile.items()} for tile in parameters]
        if dtype is torch.int32 and NmpuUnit(config=config).integers(tensors, run) is not dtype:
            continue
        y, saturated = programmed.finish(
            x, keys(), NmpuUnit(config=config), run, tensors, residual, logits=logits, flags=True, compiled=False
        )
        assert (y.permute(0, 2, 3, 1).reshape(-1, COLUMNS).numpy() == expected).all()
        assert saturated is not None
        assert (saturated.permute(0, 2, 3, 1).reshape(-1, COLUMNS).numpy() == flagged).all()


def half_parameters(tiles: int) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(8)
    names = ("scale_p", "scale_n", "offset", "gamma", "beta", "receive")
    return [{name: generator.normal(0.3, 0.2, COLUMNS).astype(np.float16) for name in names} for _ in range(tiles)]


@pytest.mark.parametrize("int8", [False, True])
def test_fp16_in_the_tile_is_the_golden_model(int8: bool) -> None:
    programmed, x, unit = layer(), codes(), Fp16Unit()
    unit = Fp16Unit(config=replace(unit.config, int8=int8))
    parameters = half_parameters(3)
    residual = codes(COLUMNS, signed=True)
    operand = residual.permute(0, 2, 3, 1).reshape(-1, COLUMNS).long().numpy()
    received = None
    for index, (first, second) in enumerate(programmed.read(x, keys())):
        assert second is not None
        last = index == 2
        received = fp16_unit.fp16_unit(
            unit.config, Fp16Columns(**parameters[index]), first.long().numpy(), second.long().numpy(),
            received=received, residual=operand if last else None, relu_before=True, last=last,
        ).values  # fmt: skip
    tensors = [{k: torch.from_numpy(v).float() for k, v in tile.items()} for tile in parameters]
    y, _ = programmed.finish(
        x, keys(), unit, Layer(relu_before=True), tensors, residual, logits=False, flags=False, compiled=False
    )
    assert (y.permute(0, 2, 3, 1).reshape(-1, COLUMNS).numpy() == received).all()


@pytest.mark.whole
@pytest.mark.skipif(not compiler_stands(), reason="needs a C++ compiler")
@pytest.mark.parametrize("unit", [NmpuUnit(), Fp16Unit()], ids=lambda unit: unit.name)
def test_compiled_is_eager_bit_for_bit(unit: Digital) -> None:
    programmed, x = layer(), codes()
    tiles = (
        [{k: torch.from_numpy(v).int() for k, v in tile.items()} for tile in integer_parameters(3, NmpuConfig())]
        if isinstance(unit, NmpuUnit)
        else [{k: torch.from_numpy(v).float() for k, v in tile.items()} for tile in half_parameters(3)]
    )
    results = [
        programmed.finish(
            x, keys(), unit, Layer(relu_after=True), tiles, None, logits=logits, flags=False, compiled=compiled
        )[0]
        for logits in (False, True)
        for compiled in (False, True)
    ]
    assert torch.equal(results[0], results[1]) and torch.equal(results[2], results[3])
    assert results[0].unique().numel() > 20


@pytest.mark.parametrize("signed", [False, True])
def test_read_out_does_not_depend_on_the_batch(signed: bool) -> None:
    programmed, x = layer(signed=signed), codes(signed=signed)
    whole = programmed.read(x, keys())
    for image in range(4):
        alone = programmed.read(x[image : image + 1], keys(1, image))
        for (p, n), (q, m) in zip(whole, alone, strict=True):
            assert n is not None and m is not None
            rows = slice(64 * image, 64 * image + 64)
            assert torch.equal(p[rows], q) and torch.equal(n[rows], m)


def test_read_noise_has_the_variance_of_its_devices() -> None:
    """Over 4 x 64 x 12 counts of one tile, the spread against a noiseless read is that of the sum over devices."""
    programmed, x = layer(28), codes(28)
    currents, variances = programmed.currents(x)
    gain, offset, spread, _ = programmed.converters[0]
    ideal = currents[0] * gain + offset
    noisy = torch.cat([count for count in programmed.read(x, keys())[0] if count is not None], 1)
    inside = (ideal > 20) & (ideal < 400)
    error = (noisy + 0.5 - ideal) / (variances[0].sqrt() * spread)  # floor loses half a count on average
    expected = (1 + (1 / 12) / (variances[0].sqrt() * spread)[inside].square()).mean()
    count = int(inside.sum())
    assert count > 2000
    assert float(error[inside].var()) == pytest.approx(float(expected), rel=5 * (2 / count) ** 0.5)


def test_dead_columns_and_unknown_presets() -> None:
    from golden_model.errors import UserError

    weights = np.zeros((2, 3, 1, 1))
    programmed = program(preset("hermes"), weights, Geometry(), signed=True, seed=0, layer=0)
    assert (programmed.weight_step == 0).all()
    with pytest.raises(UserError, match="there are hermes, hcim_a, hcim_b, hcim_wide; did you mean hermes"):
        preset("hermse")
