"""The array bit by bit against its integers: every column and narrow word, random arrays, forbidden geometries."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scale_array import configs, drawn

from golden_model.scale_array import bits, model
from golden_model.scale_array.config import HCIM_A, HCIM_B, HCIM_WIDE, ScaleArrayConfig


def agree(config: ScaleArrayConfig, scales: Any, codes: Any, binary_mode: bool = False) -> bool:
    """Whether bits and integers say the same."""
    found = bits.run(config, scales, codes, binary_mode=binary_mode)
    said = model.scale_array(config, scales, codes, binary_mode=binary_mode)
    assert found.cycles == config.cycles
    return np.array_equal(found.sums, said.values) and np.array_equal(found.overflowed, said.overflowed)


def inputs() -> Any:
    """Every A, B, carry in and direction."""
    return (np.array(each, np.uint8) for each in zip(*product((0, 1), repeat=4), strict=True))


def test_a_column_adds_and_subtracts_exactly() -> None:
    """All 16 rows of the truth table: A + B + Cin = 2 Cout + S; A - B - Bin = S - 2 Bout."""
    a, b, carry, subtract = inputs()
    total, carried = bits.column(a & b, 1 - (a | b), b, carry, subtract)
    a, b, carry, total, carried = (each.astype(int) for each in (a, b, carry, total, carried))
    added, taken = a + b + carry == 2 * carried + total, a - b - carry == total - 2 * carried
    assert np.where(subtract == 1, taken, added).all()


def test_the_published_select_is_wrong_both_ways() -> None:
    """Fig. 3d drawn literally: where O1 = A xor B selects, AND or Bin goes on; some sums and differences are wrong."""
    a, b, carry, subtract = inputs()
    differ = a ^ b
    carried = np.where(subtract == 1, np.where(differ == 1, carry, b), np.where(differ == 1, a & b, carry))
    _, right = bits.column(a & b, 1 - (a | b), b, carry, subtract)
    for way in (0, 1):
        assert (carried != right)[subtract == way].any()


def test_every_word_of_two_streams() -> None:
    """All scales and codes of two streams of 2 bits: 16 x 16 columns, in every lane and pass of an array."""
    config = ScaleArrayConfig(columns=16, streams=2, scale_bits=2, sum_bits=4)
    pairs = np.array(list(product(range(4), repeat=2)))
    for shift in range(16):
        scales = np.roll(pairs, shift, 0).T
        codes = np.repeat(pairs[:, :, None], 16, 2)
        assert agree(config, scales, codes)
        assert agree(config, scales, codes, binary_mode=True)


def test_every_word_of_three_streams_with_overflow() -> None:
    """All scales and codes of three streams of 2 bits in sums of 4."""
    config = ScaleArrayConfig(columns=64, streams=3, scale_bits=2, sum_bits=4)
    triples = np.array(list(product(range(4), repeat=3)))
    assert agree(config, triples.T, np.repeat(triples[:, :, None], 64, 2))


@settings(max_examples=120)
@given(config=configs(), seed=st.integers(0, 2**32), binary_mode=st.booleans())
def test_random_arrays_of_any_geometry(config: ScaleArrayConfig, seed: int, binary_mode: bool) -> None:
    assert agree(config, *drawn(config, seed), binary_mode=binary_mode)


@pytest.mark.parametrize("config", [HCIM_A, HCIM_B, HCIM_WIDE], ids=["a", "b", "wide"])
def test_published_configurations(config: ScaleArrayConfig) -> None:
    """1,000 random arrays each, in ten memories; all zero, all +1, all -1 among them."""
    for seed in range(10):
        scales, codes = drawn(config, seed, arrays=100)
        codes[:3] = np.array([0, 1, 3])[:, None, None]
        assert agree(config, scales, codes)


def test_a_row_read_again_too_early_loses_a_sum() -> None:
    """What the configuration refuses: with sums of two bits a stream reads a row before the last one stored it."""
    config = object.__new__(ScaleArrayConfig)
    for name, value in {"columns": 4, "streams": 2, "scale_bits": 1, "sum_bits": 2, "counter_bits": 32}.items():
        object.__setattr__(config, name, value)
    assert config.reread_distance == 2
    scales, codes = np.ones((2, 4), np.int64), np.array([[[1] * 4, [3] * 4]])  # 1 - 1
    assert (model.scale_array(config, scales, codes).values == 0).all()
    assert (bits.run(config, scales, codes).sums == -1).all()


def test_rows_are_taken_in_the_published_order() -> None:
    """Fig. 4: rows of scales 0..3 with sums 0, 2, 4, 6, then with 1, 3, 5, 7; each row of sums once a stream."""
    order = list(bits.slots(HCIM_A))
    assert len(order) == 32
    rows = [(slot.row, HCIM_A.passes * slot.row + slot.number) for slot in order[:8]]
    assert rows == [(0, 0), (1, 2), (2, 4), (3, 6), (0, 1), (1, 3), (2, 5), (3, 7)]
