"""Least squares finds what it should, and integer statistics do not depend on order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_networks import MeanHead, seeded

from golden_model.errors import UserError
from integration.mapping.calibrate import ideal_products, least_squares, moments
from integration.mapping.calibrated import Calibration
from integration.mapping.network import convert
from sim.array import Crossbar
from sim.digital import FloatUnit
from sim.encode import percentile_scale
from sim.presets import preset
from sim.readout import CountingConverter


def test_least_squares_by_numpy() -> None:
    """Without ridge and with positive gains, the fit is numpy's."""
    generator = np.random.default_rng(0)
    p, n = torch.from_numpy(generator.integers(0, 421, (2, 4000, 6)))
    gains = np.stack([generator.uniform(500, 900, 6), generator.uniform(500, 900, 6)])
    offset = generator.uniform(-9000, 9000, 6)
    noise = generator.normal(0, 300, (4000, 6))
    products = torch.from_numpy(np.rint(gains[0] * p.numpy() - gains[1] * n.numpy() + offset + noise)).long()
    fitted, intercept = least_squares([p, n], products, np.full(6, 1.0), 0.0)
    for c in range(6):
        design = np.stack([p[:, c].numpy(), -n[:, c].numpy(), np.ones(4000)], 1)
        expected = np.linalg.lstsq(design, products[:, c].numpy().astype(float), rcond=None)[0]
        assert np.allclose([*fitted[:, c], intercept[c]], expected, rtol=1e-5, atol=0.5)


def test_gains_are_never_negative_and_dead_columns_keep_the_nominal() -> None:
    generator = np.random.default_rng(1)
    p = torch.from_numpy(generator.integers(0, 421, (1000, 3)))
    n = torch.from_numpy(generator.integers(0, 421, (1000, 3)))
    p[:, 1] = n[:, 1] = 0  # a dead column
    n[:, 2] = p[:, 2]  # collinear: only the difference is known
    products = torch.stack([-5 * p[:, 0], 0 * p[:, 1], 3 * p[:, 2]], 1)
    gains, offset = least_squares([p, n], products, np.array([4.0, 7.0, 4.0]), 0.01)
    assert (gains >= 0).all() and np.isfinite(gains).all() and np.isfinite(offset).all()
    assert gains[0, 0] == 0.0
    assert gains[:, 1].tolist() == [7.0, 7.0]
    assert gains[0, 2] - gains[1, 2] == pytest.approx(3.0, rel=0.02)


def test_order_of_rows_changes_no_bit() -> None:
    generator = np.random.default_rng(2)
    p, n = torch.from_numpy(generator.integers(0, 421, (2, 5000, 4)))
    products = torch.from_numpy(generator.integers(-(1 << 30), 1 << 30, (5000, 4)))
    order = torch.from_numpy(generator.permutation(5000))
    nominal = np.full(4, 1e5)
    for a, b in zip(
        least_squares([p, n], products, nominal, 0.01),
        least_squares([p[order], n[order]], products[order], nominal, 0.01),
        strict=True,
    ):
        assert (a == b).all()
    for a, b in zip(moments([p, n]), moments([p[order], n[order]]), strict=True):
        assert (a == b).all()
    means, covariances = moments([p, n])
    assert np.allclose(means[0], p.double().mean(0)) and np.allclose(
        covariances[0, 1], [np.cov(p[:, c], n[:, c], bias=True)[0, 1] for c in range(4)]
    )


def test_percentile_is_an_order_statistic() -> None:
    values = torch.arange(1.0, 101.0)
    assert percentile_scale(-values, 99.0) == 99.0
    assert percentile_scale(values, 100.0) == 100.0
    assert percentile_scale(torch.zeros(5), 99.0) == 1.0


def test_ideal_products_are_exact() -> None:
    network = convert(seeded(MeanHead), "hermes", torch.randn(8, 3, 16, 16))
    layer = network.calibrated.layers[1]
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 128, (2, 64, 9, 9)).astype(np.float32))
    products, lsb = ideal_products(layer.programmed.tiles, layer.layer.weights, x)
    assert len(products) == 3
    total = sum(p.double() for p in products) * torch.from_numpy(lsb)
    exact = torch.nn.functional.conv2d(x.double(), torch.from_numpy(layer.layer.weights), padding=1)
    reach = 127 * 64 * 9 * lsb.max()  # the 18-bit weights are within half a step
    assert float((total - exact.permute(0, 2, 3, 1).reshape(total.shape)).abs().max()) < reach / 2


def test_a_perfect_chain_follows_the_float_model() -> None:
    """No noise, no spread, 14-bit counts: what is left is 8-bit activations."""
    hermes = preset("hermes")
    perfect = replace(
        hermes,
        array=Crossbar(programming_noise=False, read_noise=False),
        readout=CountingConverter(full_scale=4095, gain_sigma=0.0, offset_sigma=0.0),
    )
    model = seeded(MeanHead)
    images = torch.randn(64, 3, 16, 16)
    network = convert(model, perfect, images, units=(FloatUnit(),))
    exact = model(images).detach()
    error = (network.run(images, "float", compiled=False) - exact).std() / exact.std()
    assert float(error) < 0.02


def test_calibration_values_are_checked() -> None:
    with pytest.raises(UserError, match="images >= 1"):
        Calibration(images=0)
    with pytest.raises(UserError, match="NaN or infinite"):
        convert(seeded(MeanHead), "hermes", torch.full((4, 3, 16, 16), float("nan")))
