"""The scale-factor array's integers against their definition, on numpy arrays and torch tensors."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import scale_array_by_definition as definition
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_model.errors import UserError
from golden_model.scale_array import model
from golden_model.scale_array.config import HCIM_A, HCIM_B, HCIM_WIDE, ScaleArrayConfig
from golden_model.scale_array.image import from_image, to_image, to_rows

NARROW = ScaleArrayConfig(columns=8, streams=3, scale_bits=2, sum_bits=4)
"""Three scales of 3 leave -8..7."""
KINDS: list[Any] = [np.array, lambda values: torch.tensor(np.asarray(values))]


@st.composite
def configs(draw: st.DrawFn) -> ScaleArrayConfig:
    scale_bits = draw(st.integers(1, 5))
    passes = draw(st.integers(3 if scale_bits == 1 else 2, 4))
    columns = scale_bits * passes * draw(st.integers(1, 4))
    streams = draw(st.integers(1, 9))
    return ScaleArrayConfig(columns=columns, streams=streams, scale_bits=scale_bits, sum_bits=scale_bits * passes)


def drawn(config: ScaleArrayConfig, seed: int, arrays: int = 5) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    top = config.scale_range.hi
    scales = rng.integers(0, top, (config.streams, config.columns), endpoint=True)
    scales = np.where(rng.random(scales.shape) < 0.3, rng.choice([0, 1, top], scales.shape), scales)
    return scales, rng.integers(0, 4, (arrays, config.streams, config.columns))


def by_definition(config: ScaleArrayConfig, scales: Any, codes: Any, binary_mode: bool) -> Iterator[list[Any]]:
    for array in codes:
        yield [
            definition.column(scales[:, c].tolist(), array[:, c].tolist(), config.sum_bits, binary_mode)
            for c in range(config.columns)
        ]


@settings(max_examples=150)
@given(config=configs(), seed=st.integers(0, 2**32), binary_mode=st.booleans())
def test_every_array_is_its_definition(config: ScaleArrayConfig, seed: int, binary_mode: bool) -> None:
    scales, codes = drawn(config, seed)
    expected = np.array(list(by_definition(config, scales, codes, binary_mode)))
    work = [definition.work(array.tolist(), binary_mode) for array in codes]
    for kind in KINDS:
        found = model.scale_array(config, kind(scales), kind(codes), binary_mode=binary_mode)
        for position, values in enumerate((found.values, found.overflowed, found.illegal)):
            assert np.array_equal(np.asarray(values), expected[..., position]), model.Sums._fields[position]
        assert np.array_equal(np.asarray(found.flagged), expected[..., 1:].any(-1))
        done = model.activity(config, model.decode(kind(codes), binary_mode)[0])
        assert {name: sum(each[name] for each in work) for name in work[0]} == {
            name: getattr(done, name) for name in model.Activity.__slots__
        }
        assert done.skipped == {name: done.operations - getattr(done, name) for name in ("reads", "computes", "stores")}


def test_every_column_of_a_narrow_array() -> None:
    """All scales and codes of three streams: 64 * 64 columns, overflow and illegal codes included."""
    scales = np.array(list(product(range(4), repeat=3))).T  # (streams, 64)
    codes = np.array(list(product(range(4), repeat=3)))  # 64 code triples
    config = ScaleArrayConfig(columns=64, streams=3, scale_bits=2, sum_bits=4)
    for binary_mode in (False, True):
        found = model.scale_array(config, scales, np.repeat(codes[:, :, None], 64, 2), binary_mode=binary_mode)
        for a, c in product(range(64), repeat=2):
            said = definition.column(scales[:, c].tolist(), codes[a].tolist(), 4, binary_mode)
            assert (found.values[a, c], found.overflowed[a, c], found.illegal[a, c]) == said
        assert found.overflowed.any() and found.illegal.any() is np.bool_(not binary_mode)


def test_overflow_is_sticky_where_the_sum_comes_back() -> None:
    """3 + 3 + 3 leaves -8..7 and wraps; taking 3 away brings it back, not the flag down."""
    config = ScaleArrayConfig(columns=8, streams=4, scale_bits=2, sum_bits=4)
    assert config.can_overflow and NARROW.can_overflow
    codes = np.tile(np.array([1, 1, 1, 3])[:, None], 8)
    values, overflowed, illegal = model.scale_array(config, np.full((4, 8), 3), codes)
    assert (values == 6).all() and overflowed.all() and not illegal.any()


def test_published_configurations_never_overflow() -> None:
    """+-60 in 8 bits, +-765 in 16, reached by p all +1 and all -1."""
    for config, reach, rows, cycles in ((HCIM_A, 60, 24, 34), (HCIM_B, 60, 24, 34), (HCIM_WIDE, 765, 40, 50)):
        assert (config.rows, config.cycles, config.reach.hi, config.can_overflow) == (rows, cycles, reach, False)
        scales = np.full((config.streams, config.columns), config.scale_range.hi)
        for code, sign in ((1, 1), (3, -1), (0, 0)):
            found = model.scale_array(config, scales, np.full(scales.shape, code))
            assert (found.values == sign * reach).all() and not found.flagged.any()


def test_thresholds_are_inclusive_and_zero_has_its_side() -> None:
    totals = [-3, -2, -1, 0, 1, 2, 3]
    for kind in KINDS:
        assert model.ternary(kind(totals), 2).tolist() == [-1, -1, 0, 0, 0, 1, 1]
        assert model.binary(kind(totals)).tolist() == [-1, -1, -1, 1, 1, 1, 1]
        assert model.encode(model.ternary(kind(totals), 2)).tolist() == [3, 3, 0, 0, 0, 1, 1]
    for numerator, threshold in product(range(-40, 41), (Fraction(1, 2), Fraction(5, 4), Fraction(3))):
        total = Fraction(numerator, 8)  # binary64 holds these
        found = model.ternary(np.array(float(total)), float(threshold))
        assert found == definition.comparison(total, threshold)
    for threshold in (0, -1.5, float("nan")):
        with pytest.raises(UserError, match="a ternary read-out needs one above 0"):
            model.ternary(np.zeros(1), threshold)


def test_comparators_that_contradict_each_other_are_illegal() -> None:
    """Neither, above, below, both."""
    for kind in KINDS:
        codes = model.comparators(kind([False, True, False, True]), kind([False, False, True, True]))
        assert codes.tolist() == [0, 1, 3, model.ILLEGAL]
        p, illegal = model.decode(codes)
        assert p.tolist() == [0, 1, -1, 0] and illegal.tolist() == [False, False, False, True]
        p, illegal = model.decode(codes, binary_mode=True)
        assert p.tolist() == [1, 1, -1, -1] and not illegal.any()


def test_codes_are_undone() -> None:
    p = np.array([-1, 0, 1], np.int8)
    assert model.decode(model.encode(p))[0].tolist() == p.tolist()


@given(config=configs())
def test_every_column_leaves_once(config: ScaleArrayConfig) -> None:
    assert sorted(model.read_out(config).ravel().tolist()) == list(range(config.columns))


@given(config=configs(), seed=st.integers(0, 2**32))
def test_an_image_is_read_back(config: ScaleArrayConfig, seed: int) -> None:
    scales, _ = drawn(config, seed)
    text = to_image(config, scales)
    assert (from_image(config, text.splitlines()) == scales).all()
    assert len(text.splitlines()) == config.scale_rows


def test_an_image_lies_as_the_array_does() -> None:
    """Row 1 of stream 2 of configuration A: columns 32..63, column 32 in the lowest digit."""
    scales = np.zeros((4, 128), np.int64)
    scales[2, 32], scales[2, 63] = 5, 12
    lines = to_image(HCIM_A, scales).splitlines()
    assert lines[9] == "c" + "0" * 30 + "5" and set("".join(lines[:9] + lines[10:])) == {"0"}
    assert to_rows(HCIM_A, scales)[9, 31] == 12


def test_images_of_another_geometry_are_refused() -> None:
    lines = to_image(HCIM_A, np.zeros((4, 128), np.int64)).splitlines()
    with pytest.raises(UserError, match="image has 16 rows: this array has 24, 8 for each of 3 streams"):
        from_image(HCIM_WIDE, lines)
    with pytest.raises(UserError, match="image, row 1 has 32 digits: 64 columns are 16 digits a row"):
        from_image(HCIM_B, lines)
    with pytest.raises(UserError, match=r"row 3: 'zz' is not hexadecimal"):
        from_image(HCIM_A, [*lines[:2], "zz", *lines[3:]])
    with pytest.raises(UserError, match=r"scales have shape \(3, 128\): this array takes \(4, 128\)"):
        to_image(HCIM_A, np.zeros((3, 128), np.int64))
    for wrong in (-1, 16):
        with pytest.raises(UserError, match=r"scales are .*: 4 bits, unsigned, hold 0 \.\. 15"):
            to_image(HCIM_A, np.pad([[wrong]], ((0, 3), (0, 127))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"streams": 0}, "streams = 0: allowed are 1 to 16"),
        ({"scale_bits": 17}, "scale_bits = 17: allowed are 1 to 16"),
        ({"counter_bits": 3}, "counter_bits = 3: allowed are 4 to 48"),
        ({"sum_bits": 10}, "sum_bits = 10: a multiple of scale_bits = 4, at least 8"),
        ({"sum_bits": 4}, "sum_bits = 4: a multiple of scale_bits = 4, at least 8"),
        ({"scale_bits": 1, "sum_bits": 2}, "would be read again after 2 cycles.* at least 3 sum bits"),
        ({"columns": 130}, "columns = 130: a whole number of 8-bit sums, for example 128"),
        ({"columns": 4}, "columns = 4: a whole number of 8-bit sums, for example 8"),
    ],
)
def test_geometries_that_cannot_be_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ScaleArrayConfig(**fields)
