"""Stimulus: inside its formats, the same for the same seed, and at the corners that it claims to reach."""

from __future__ import annotations

import numpy as np
import pytest

from golden_model.fixed import INT8, UQ, Rounding, round_shift
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from golden_model.vectors import (
    Batch,
    Words,
    corner_batches,
    corner_columns,
    corner_values,
    modes,
    random_batch,
    trace,
)

CONFIGS = {
    "default": NmpuConfig(units=4, columns=2),
    "affine alone": NmpuConfig(partial_sum=False, residual=False, relu=False, units=2, columns=2),
    "signed code, shifts": NmpuConfig(
        input=Input.CODE, max_layer_shift=9, max_column_shift=3, rounding=Rounding.HALF_AWAY, units=2, columns=3
    ),
    "INT8 sums": NmpuConfig(int8=True, rounding=Rounding.HALF_EVEN, output=INT8, units=2, columns=2),
    "batch norm, cuts": NmpuConfig(
        batch_norm=True, cut_pre=2, cut_post=1, guard=5, output=UQ(6, 0), rounding=Rounding.FLOOR, units=1, columns=4
    ),
}
each = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def batches(config: NmpuConfig, seed: int = 0) -> list[Batch]:
    rng = np.random.default_rng(seed)
    return [*corner_batches(config, rng, 40), *(random_batch(config, rng, 16) for _ in range(8))]


@each
def test_trace_is_the_golden_model_written_out(config: NmpuConfig) -> None:
    for batch in batches(config):
        found, expected = trace(config, batch), batch.expected(config)
        np.testing.assert_array_equal(found.output.values, expected.values)
        np.testing.assert_array_equal(
            np.broadcast_to(found.output.saturated, found.output.values.shape),
            np.broadcast_to(expected.saturated, expected.values.shape),
        )


@each
def test_everything_fits_its_port(config: NmpuConfig) -> None:
    count = config.units * config.columns
    for batch in batches(config):
        batch.columns.check(config)
        batch.mode.layer.check(config)
        for name, allowed in Words.ranges(config).items():
            operand = getattr(batch.words, name)
            assert operand.shape == (len(batch.words.first), count)
            assert allowed.lo <= operand.min() and operand.max() <= allowed.hi


@each
def test_same_seed_same_words(config: NmpuConfig) -> None:
    for one, other in zip(batches(config, 3), batches(config, 3), strict=True):
        assert one.mode == other.mode
        np.testing.assert_array_equal(one.words.first, other.words.first)
        np.testing.assert_array_equal(one.columns.scale_p, other.columns.scale_p)
    assert any(
        not np.array_equal(one.columns.scale_p, other.columns.scale_p)
        for one, other in zip(batches(config, 3), batches(config, 4), strict=False)
    )


@each
def test_every_corner_value_of_every_parameter_occurs(config: NmpuConfig) -> None:
    sets = list(corner_columns(config, np.random.default_rng(0), 1))
    for name, allowed in Columns.ranges(config).items():
        assert set(corner_values(allowed)) <= {int(code) for one in sets for code in getattr(one, name)}
    assert any(
        all(getattr(one, name)[column] == 0 for name in Columns.ranges(config))
        for one in sets
        for column in range(config.units * config.columns)
    ), "a dead column"


def test_modes_are_those_that_the_unit_has() -> None:
    assert len(modes(NmpuConfig())) == 32
    assert len(modes(NmpuConfig(max_layer_shift=4))) == 3 * 32
    bare = modes(NmpuConfig(partial_sum=False, residual=False, relu=False))
    assert len(bare) == 1
    assert bare[0].last and not (bare[0].receive or bare[0].add_residual or bare[0].layer.relu_after)


def test_corners_come_before_any_luck() -> None:
    """Exact ties of either parity and sign, and both sides of the output's range: hit in the first corner batches."""
    config = NmpuConfig(partial_sum=False, residual=False, relu=False, units=4, columns=4)
    ties, rounded = set(), set()
    for batch in corner_batches(config, np.random.default_rng(0), 4):
        final = trace(config, batch).final
        assert final is not None
        half = (np.int64(1) << np.asarray(final.fraction)) >> 1
        tie = (final.integers & (2 * half - 1)) == half
        floors = np.asarray(final.integers >> final.fraction)[tie]
        ties |= {(int(floor) & 1, int(floor) < 0) for floor in floors}
        rounded |= set(np.unique(round_shift(final.integers, final.fraction, config.rounding)).tolist())
    assert ties == {(0, False), (0, True), (1, False), (1, True)}
    assert {-128, -127, -1, 0, 1, 127, 128} <= rounded
