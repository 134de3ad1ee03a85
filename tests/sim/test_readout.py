"""Converters: floor, saturation, spread."""

import numpy as np
import pytest
import torch

from golden_model.errors import UserError
from golden_model.nmpu_config import Input
from sim.readout import CountingConverter


def convert(converter: CountingConverter, current: list[float], gain: float, offset: float) -> list[float]:
    one = torch.ones(1)
    return converter.convert(torch.tensor(current)[:, None], one * gain, one * offset, None)[:, 0].tolist()


def test_counts_floor_and_saturate_at_both_ends() -> None:
    assert convert(CountingConverter(), [0, 9, 10, 19, 4200, 9999, -50], 0.1, 0.0) == [0, 0, 1, 1, 420, 420, 0]
    assert convert(CountingConverter(), [0, 5], 0.1, -0.5) == [0, 0]


def test_codes_floor_towards_minus_infinity() -> None:
    code = CountingConverter(output=Input.CODE, full_scale=127)
    assert convert(code, [-1, -10, 15, 1270, -1280, -1290, 9999], 0.1, 0.0) == [-1, -1, 1, 127, -128, -128, 127]
    assert code.bits == 8 and CountingConverter().bits == 9


def test_gain_spread_statistics() -> None:
    """100,000 converters: sigma 7.09 % cut at 21 %, offsets of 1 count."""
    gains, offsets = CountingConverter().draw(100_000, np.random.default_rng(0))
    assert gains.std() == pytest.approx(0.0709, rel=0.02) and gains.mean() == pytest.approx(1.0, abs=1e-3)
    assert gains.min() >= 0.79 and gains.max() <= 1.21
    assert offsets.std() == pytest.approx(1.0, rel=0.02)


def test_refusals() -> None:
    with pytest.raises(UserError, match="full_scale = 0"):
        CountingConverter(full_scale=0)
    with pytest.raises(UserError, match="gain_limit"):
        CountingConverter(gain_limit=1.0)
