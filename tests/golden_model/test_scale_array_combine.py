"""Behind the array: slices and tiles added, and the NMPU that takes the total, against exact rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_model.errors import UserError
from golden_model.fixed import Range
from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns
from golden_model.scale_array import combine
from golden_model.scale_array.config import HCIM_A, HCIM_WIDE, ScaleArrayConfig


def test_slices_weigh_powers_of_two_and_tiles_add() -> None:
    rng = np.random.default_rng(4)
    sums = rng.integers(-60, 61, (7, 5, 3, 6))  # images, tiles, slices, channels
    expected = [
        [sum(int(sums[i, t, k, c]) * 2**k for t in range(5) for k in range(3)) for c in range(6)] for i in range(7)
    ]
    assert combine.combine(sums).tolist() == expected
    assert combine.combine(torch.tensor(sums)).tolist() == expected


def test_ranges_are_those_of_the_networks() -> None:
    assert combine.combined_range(HCIM_A, slices=3, tiles=5) == Range(-2100, 2100)
    assert combine.combined_range(HCIM_A, slices=4, tiles=5) == Range(-4500, 4500)
    assert combine.combined_range(HCIM_WIDE, slices=1, tiles=1) == Range(-765, 765)
    narrow = ScaleArrayConfig(columns=8, streams=3, scale_bits=2, sum_bits=4)
    assert combine.combined_range(narrow, slices=2, tiles=1) == Range(-24, 21)
    assert combine.unit_behind(HCIM_A, 3, 5).input_bits == 13
    assert combine.unit_behind(HCIM_A, 4, 5).input_bits == 14
    with pytest.raises(UserError, match="0 slices, 5 tiles: a layer has at least 1 of each"):
        combine.combined_range(HCIM_A, 0, 5)


@settings(max_examples=60)
@given(
    factors=st.lists(st.floats(-4, 4, allow_nan=False), min_size=4, max_size=4),
    exponent=st.integers(-14, 0),
    data=st.data(),
)
def test_the_unit_computes_the_folded_factor(factors: list[float], exponent: int, data: st.DataObject) -> None:
    """y = round half up of total * scale / 2^(7 + shift) + offset / 2, clipped; the factor is off by half an LSB."""
    unit = combine.unit_behind(HCIM_A, 3, 5, columns=1, units=4)
    given_factors = [factor * 2.0**exponent for factor in factors]
    found = combine.fold(unit, given_factors)
    ends = combine.combined_range(HCIM_A, 3, 5)
    totals = [data.draw(st.integers(ends.lo, ends.hi)) for _ in range(4)]
    offsets = [data.draw(st.integers(-128, 127)) for _ in range(4)]
    nothing = np.zeros(4, np.int64)
    columns = Columns(
        **dict.fromkeys(Columns.ranges(unit), nothing)
        | {"scale_p": found.scale, "negate": found.negate, "offset": np.array(offsets)}
    )
    columns.check(unit)
    values = nmpu(unit, columns, found.layer, np.array(totals)).values
    shift = found.layer.shift
    for i, factor in enumerate(given_factors):
        stored = Fraction((-1) ** int(found.negate[i]) * int(found.scale[i]), 2 ** (7 + shift))
        exact = totals[i] * stored + Fraction(offsets[i], 2)
        assert values[i] == max(-127, min(127, (exact + Fraction(1, 2)).__floor__()))
        if not found.clipped:
            assert abs(stored - Fraction(factor)) <= Fraction(1, 2 ** (8 + shift))
    assert found.clipped == sum(round(abs(Fraction(f)) * 2 ** (7 + shift)) > 255 for f in given_factors)
    assert found.vanished == sum(1 for f, code in zip(given_factors, found.scale, strict=True) if f and not code)


def test_the_largest_shift_that_holds_every_column_is_chosen() -> None:
    unit = combine.unit_behind(HCIM_A, 3, 5, columns=1, units=3)
    found = combine.fold(unit, [0.06, -0.001, 0.0])
    assert found.layer.shift == 5 and found.scale.tolist() == [246, 4, 0] and found.negate.tolist() == [0, 1, 0]
    assert (found.clipped, found.vanished) == (0, 0)
    assert combine.fold(unit, [3.0, 1e-9, 0.0]).scale.tolist() == [255, 0, 0]
    with pytest.raises(UserError, match="not finite: check the batch norm's variance"):
        combine.fold(unit, [1.0, np.inf, 0.0])
