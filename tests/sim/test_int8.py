"""Products in 8-bit integer instructions: equal to float64 at the corners, to the float32 path behind a whole layer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from golden_model.fixed import Format
from sim import int8
from sim.array import GRID, Geometry
from sim.kernels import compiler_stands
from sim.presets import preset
from sim.tile import program

needs_int8 = pytest.mark.skipif(not int8.stands(), reason="float32 computes: no exact 8-bit products here")


def test_every_weight_of_the_grid_is_three_bytes() -> None:
    weights = torch.arange(-GRID, GRID + 1).float().view(1, -1, 1, 1)
    a, b, c = int8.split(weights).view(3, -1).long()
    assert torch.equal(2 * a + 2 * b + c, weights.flatten().long())
    assert min(int(part.min()) for part in (a, b, c)) >= -127  # -128 has no opposite


@given(lines=st.integers(1, 40), channels=st.integers(1, 28), seed=st.integers(0, 99), extreme=st.booleans())
@needs_int8
def test_sums_are_those_of_exact_integers(lines: int, channels: int, seed: int, extreme: bool) -> None:
    """With `extreme` every code and weight is the largest, of either sign: nothing may saturate on the way."""
    generator = np.random.default_rng(seed)
    weights = generator.integers(-GRID, GRID + 1, (lines, channels, 3, 3))
    codes = generator.integers(0, 128, (2, channels, 6, 5))
    if extreme:
        weights, codes = np.where(weights > 0, GRID, -GRID), np.full_like(codes, int8.LARGEST_CODE)
    x, w = (torch.from_numpy(values.astype(np.float32)) for values in (codes, weights))
    (spread,) = int8.spread(x)
    found = int8.Convolution(w, (1, 2), (1, 0), (2, 1))(spread)
    assert torch.equal(found.double(), F.conv2d(x.double(), w.double(), None, (1, 2), (1, 0), (2, 1)))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("signed", [False, True])
@needs_int8
def test_a_layer_has_the_currents_of_float32(signed: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled and not compiler_stands():
        pytest.skip("no C++ compiler")
    generator = np.random.default_rng(5)
    weights = generator.normal(size=(12, 64, 3, 3))  # 576 rows: three tiles
    codes = generator.integers(-127 if signed else 0, 128, (4, 64, 8, 8)).astype(np.float32)
    x = torch.from_numpy(codes).contiguous(memory_format=torch.channels_last)

    def currents(compiled: bool) -> list[torch.Tensor]:
        geometry = Geometry(kernel=(3, 3), padding=(1, 1))
        made = program(preset("hermes"), weights, geometry, signed=signed, seed=1, layer=2)
        found, variances = made.currents(x, compiled=compiled)
        return found + variances

    fast = currents(compiled)
    monkeypatch.setattr(int8, "stands", lambda: False)
    slow = currents(False)
    assert len(fast) == len(slow) == 6
    assert all(torch.equal(a, b) for a, b in zip(fast, slow, strict=True))


def test_wider_codes_stay_in_float32() -> None:
    hermes = preset("hermes")
    wide = replace(hermes, encode=replace(hermes.encode, codes=Format(False, 8, 0)))
    weights = np.random.default_rng(5).normal(size=(3, 4, 1, 1))
    x = torch.full((1, 4, 2, 2), 255.0)  # of which three bytes would not hold the double
    made = program(wide, weights, Geometry(), signed=False, seed=1, layer=0)
    exact = F.conv2d(x.double(), made.tiles.weights[0].double())
    assert torch.equal(made.currents(x)[0][0].double(), exact.permute(0, 2, 3, 1).reshape(-1, 6))


def test_a_processor_that_saturates_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = int8.Convolution.__call__
    monkeypatch.setattr(int8.Convolution, "__call__", lambda self, codes: whole(self, codes).clip(-(1 << 23), 1 << 23))
    assert not int8.stands.__wrapped__()


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_torch_without_these_operations_computes_in_float32(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error("no such operation")

    monkeypatch.setattr(int8.Convolution, "__init__", fail)
    assert not int8.stands.__wrapped__()


def test_another_processor_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8.platform, "machine", lambda: "aarch64")
    assert not int8.stands.__wrapped__()
