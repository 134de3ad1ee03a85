"""The device curves at points computed by hand from the published fits, and the statistics of what they draw."""

import math

import numpy as np
import pytest

from golden_model.errors import UserError
from sim.devices import DEVICES, HERMES_PAIR, PCM_LIKE, Device


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def test_hermes_pair_curves_at_half_range() -> None:
    x = np.array([0.5])
    sigma = 0.16603222 + 4.71806468 * 0.5 - 8.48101252 * 0.25 + 4.68961419 * 0.125
    assert HERMES_PAIR.programming_sigma(x)[0] == pytest.approx(sigma)
    assert HERMES_PAIR.drift_mean(x)[0] == pytest.approx(-0.0436 * 0.25 - 0.0126 * 0.5 + 0.0736)
    assert HERMES_PAIR.drift_std(x)[0] == pytest.approx(-0.0118 * 0.25 + 0.0093 * 0.5 + 0.0073)
    assert HERMES_PAIR.read_q(x)[0] == pytest.approx(0.0069 * 0.125 - 0.0280 * 0.25 + 0.0211 * 0.5 + 0.0123)


def test_hermes_pair_curves_near_zero() -> None:
    x = np.array([0.05])
    assert HERMES_PAIR.drift_mean(x)[0] == pytest.approx(min(max(-0.0387 * math.log(0.05) - 0.0182, 0.072), 0.13))
    assert HERMES_PAIR.drift_std(x)[0] == pytest.approx(min(max(-0.0117 * math.log(0.05) - 0.0057, 0.0091), 0.04))
    assert HERMES_PAIR.read_q(x)[0] == pytest.approx(min(max(-0.0117 * math.log(0.05) - 0.0069, 0.015), 0.04))


@pytest.mark.parametrize("device", DEVICES.values(), ids=str)
def test_curves_are_finite_and_positive_over_the_whole_range(device: Device) -> None:
    x = np.linspace(0, 1, 1001)
    for curve in (device.programming_sigma, device.drift_mean, device.drift_std, device.read_q):
        assert np.isfinite(curve(x)).all() and (curve(x) > 0).all()


def test_programming_statistics() -> None:
    """200,000 devices at half range: mean and sigma within four standard errors."""
    n, target = 200_000, 0.5 * HERMES_PAIR.g_max
    programmed = HERMES_PAIR.program(np.full(n, target), generator())
    sigma = float(HERMES_PAIR.programming_sigma(np.array([0.5]))[0])
    assert abs(programmed.mean() - target) < 4 * sigma / math.sqrt(n)
    assert abs(programmed.std() / sigma - 1) < 4 / math.sqrt(2 * n)
    assert programmed.min() >= 0


def test_drift_follows_its_exponent() -> None:
    g = np.full(100_000, 0.5 * PCM_LIKE.g_max)
    drifted = PCM_LIKE.drift(g, 3600.0, generator())
    nu = -np.log(drifted / g) / math.log((3600 + PCM_LIKE.t0) / PCM_LIKE.t0)
    assert nu.mean() == pytest.approx(float(PCM_LIKE.drift_mean(np.array([0.5]))[0]), rel=0.01)
    assert (PCM_LIKE.drift(g, 0.0, generator()) == g).all()


def test_read_sigma_by_the_formula() -> None:
    g = np.array([0.5 * HERMES_PAIR.g_max])
    q = float(HERMES_PAIR.read_q(np.array([0.5]))[0])
    growth = math.sqrt(math.log((300 + 512e-9) / (2 * 512e-9)))
    assert HERMES_PAIR.read_sigma(g, g, 0.0)[0] == pytest.approx(g[0] * q * growth)


def test_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"fitted for 0 \.\. 20\.7 uS"):
        HERMES_PAIR.program(np.array([30.0]), generator())
    with pytest.raises(UserError, match="from 0 s after programming"):
        HERMES_PAIR.drift(np.array([1.0]), -1.0, generator())
    with pytest.raises(UserError, match="hermes_pair, hermes_single, pcm_like"):
        Device.parse("rram")
