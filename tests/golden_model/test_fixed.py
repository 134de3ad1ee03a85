"""Formats, rounding and saturation against exact rationals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nmpu_by_definition import codes, rounded

from golden_model.errors import UserError
from golden_model.fixed import INT8, SQ, SYM8, UQ, Format, Range, Rounding, round_shift, saturate

FORMATS = [SYM8, INT8, SQ(7, 1), UQ(1, 7), UQ(4, 0), UQ(0, 3), Format(True, 4, 1, symmetric=True)]
MODES = pytest.mark.parametrize("mode", Rounding)
ENDS = st.integers(-(2**40), 2**40)
RANGES = st.tuples(ENDS, ENDS).map(lambda ends: Range(min(ends), max(ends)))


@MODES
@given(value=st.integers(-(2**60), 2**60), bits=st.integers(0, 50))
def test_round_shift_is_exact_division_and_one_rounding(mode: Rounding, value: int, bits: int) -> None:
    assert round_shift(value, bits, mode) == rounded(Fraction(value, 2**bits), mode)


@MODES
@pytest.mark.parametrize("bits", range(0, 8))
def test_round_shift_of_every_number_near_zero(mode: Rounding, bits: int) -> None:
    values = np.arange(-1024, 1025)
    expected = [rounded(Fraction(int(value), 2**bits), mode) for value in values]
    distances = np.full(values.shape, bits)
    assert round_shift(values, bits, mode).tolist() == expected
    assert round_shift(values, distances, mode).tolist() == expected
    for dtype in (torch.int64, torch.int32):
        tensor = torch.tensor(values, dtype=dtype)
        assert round_shift(tensor, bits, mode).tolist() == expected
        assert round_shift(tensor, torch.tensor(distances, dtype=dtype), mode).tolist() == expected
        assert round_shift(tensor, bits, mode).dtype == dtype


@pytest.mark.parametrize(
    ("mode", "halves"),
    [
        (Rounding.FLOOR, [-3, -2, -1, 0, 1, 2]),
        (Rounding.HALF_UP, [-2, -1, 0, 1, 2, 3]),
        (Rounding.HALF_EVEN, [-2, -2, 0, 0, 2, 2]),
        (Rounding.HALF_AWAY, [-3, -2, -1, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("bits", [1, 2, 7, 30])
def test_ties(mode: Rounding, halves: list[int], bits: int) -> None:
    """-2.5, -1.5, -0.5, 0.5, 1.5 and 2.5."""
    values = np.array([-5, -3, -1, 1, 3, 5]) << (bits - 1)
    assert round_shift(values, bits, mode).tolist() == halves


@MODES
def test_nothing_is_lost_without_a_shift(mode: Rounding) -> None:
    values = np.array([-(2**31), -3, -1, 0, 1, 2, 2**31 - 1])
    assert round_shift(values, 0, mode) is values
    assert round_shift(values, np.zeros(7, dtype=np.int64), mode).tolist() == values.tolist()
    assert round_shift(torch.tensor(values), torch.zeros(7, dtype=torch.int64), mode).tolist() == values.tolist()


@MODES
def test_a_distance_for_each_column(mode: Rounding) -> None:
    values, distances = [[13, 13, -13], [-6, 6, 6]], [0, 1, 3]
    expected = [[rounded(Fraction(v, 2**bits), mode) for v, bits in zip(row, distances, strict=True)] for row in values]
    assert round_shift(np.array(values), np.array(distances), mode).tolist() == expected


def test_half_up_is_not_odd() -> None:
    """Why a negative gamma swaps the counts: negating after rounding gives another result at every tie."""
    assert round_shift(-5, 1, Rounding.HALF_UP) == -2 != -round_shift(5, 1, Rounding.HALF_UP)


def test_bits_are_never_invented() -> None:
    with pytest.raises(UserError, match=r"round_shift by -1 bits: a shift is 0 or more"):
        round_shift(4, -1, Rounding.HALF_UP)


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_saturate_keeps_codes_and_clips_the_rest(form: Format) -> None:
    low, high = codes(form)
    values = np.arange(2 * low - 3, 2 * high + 4)
    expected = [min(max(int(value), low), high) for value in values]
    assert saturate(values, form).tolist() == expected
    assert saturate(torch.tensor(values), form).tolist() == expected
    assert [saturate(int(value), form) for value in values] == expected
    assert saturate(values, Range(low, high)).tolist() == expected


@pytest.mark.parametrize(
    ("form", "low", "high"),
    [
        (UQ(1, 7), 0.0, 1.9921875),
        (SQ(7, 1), -64.0, 63.5),
        (SYM8, -127.0, 127.0),
        (INT8, -128.0, 127.0),
        (UQ(4, 0), 0.0, 15.0),
        (UQ(0, 4), 0.0, 0.9375),
        (SQ(2, 0), -2.0, 1.0),
    ],
    ids=str,
)
def test_what_a_format_holds(form: Format, low: float, high: float) -> None:
    assert form.values([form.range.lo, form.range.hi]).tolist() == [low, high]
    assert form.largest == high
    assert form.lsb == 2.0**-form.fraction
    assert form.bits == form.integer + form.fraction


@pytest.mark.parametrize(
    "form", [UQ(1, 7), SQ(7, 1), SYM8, INT8, Format(True, 7, 1, symmetric=True), UQ(0, 3)], ids=str
)
def test_a_format_reads_back_what_it_prints(form: Format) -> None:
    assert Format.parse(str(form)) == form


@pytest.mark.parametrize(
    ("text", "form"), [("sym8", SYM8), ("INT8", INT8), ("uint4", UQ(4, 0)), (" uq( 1, 7 ) ", UQ(1, 7))]
)
def test_short_names(text: str, form: Format) -> None:
    assert Format.parse(text) == form


@pytest.mark.parametrize("text", ["", "8", "UQ", "UQ()", "UQ(1)", "UQ(1,7", "UQ(1,77", "UQ(a,b)", "INT", "INT8.5"])
def test_what_is_no_format_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(UserError, match=r"format .*write UQ\(1,7\), SQ\(7,1\), SYM8, INT8 or UINT4"):
        Format.parse(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((False, -1, 7), "integer and fraction bits are 0 or more"),
        ((False, 0, 0), "together 1 to 32"),
        ((False, 30, 3), "together 1 to 32"),
        ((True, 1, 0), "needs its sign bit and one more"),
        ((True, 0, 4), "needs its sign bit"),
        ((False, 8, 0, True), "only a signed format can be symmetric"),
    ],
)
def test_formats_that_cannot_be(arguments: tuple[bool, int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Format(*arguments)


@given(a=RANGES, b=RANGES, shift=st.integers(0, 20), data=st.data())
def test_ranges_hold_every_result_and_reach_both_ends(a: Range, b: Range, shift: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(a.lo, a.hi))
    y = data.draw(st.integers(b.lo, b.hi))
    corners = [(p, q) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
    for result, inside, ends in [
        (a + b, x + y, [p + q for p, q in corners]),
        (a - b, x - y, [p - q for p, q in corners]),
        (a * b, x * y, [p * q for p, q in corners]),
        (-a, -x, [-a.lo, -a.hi]),
        (a << shift, x << shift, [a.lo << shift, a.hi << shift]),
        (a | b, x, [a.lo, a.hi, b.lo, b.hi]),
        (a.relu(), max(x, 0), [max(a.lo, 0), max(a.hi, 0)]),
    ]:
        assert result.lo <= inside <= result.hi
        assert (result.lo, result.hi) == (min(ends), max(ends))


@MODES
@given(a=RANGES, bits=st.integers(0, 45), data=st.data())
def test_a_rounded_range(mode: Rounding, a: Range, bits: int, data: st.DataObject) -> None:
    x = data.draw(st.integers(a.lo, a.hi))
    result = a.round_shift(bits, mode)
    assert result.lo <= rounded(Fraction(x, 2**bits), mode) <= result.hi
    assert (result.lo, result.hi) == tuple(rounded(Fraction(end, 2**bits), mode) for end in (a.lo, a.hi))


@given(RANGES)
def test_widths_are_just_wide_enough(a: Range) -> None:
    def holds(bits: int) -> bool:
        return -(2 ** (bits - 1)) <= a.lo and a.hi <= 2 ** (bits - 1) - 1

    assert holds(a.signed_bits)
    assert a.signed_bits == 1 or not holds(a.signed_bits - 1)
    if a.lo >= 0:
        assert a.hi < 2**a.unsigned_bits
        assert a.unsigned_bits == 1 or a.hi >= 2 ** (a.unsigned_bits - 1)
