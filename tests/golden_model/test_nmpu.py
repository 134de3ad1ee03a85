"""The NMPU against its definition: random units of every option, and every corner that was decided by name."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import nmpu_by_definition as definition
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from nmpu_strategies import Data, configs, driven

from golden_model.fixed import INT8, SQ, UQ, Range, Rounding
from golden_model.nmpu import Output, affine, compress, nmpu
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig

ONE = 128
"""The code of 1.0 in UQ(1,7)."""


def run(config: NmpuConfig, data: Data, kind: Any) -> Output:
    """Drive the golden model with arrays or tensors of one kind."""
    columns = data.arrays(config)
    columns = Columns(**{name: kind(getattr(columns, name)) for name in Columns.__dataclass_fields__})
    return nmpu(
        config,
        columns,
        data.layer,
        kind(data.first),
        kind(data.second) if config.input is Input.COUNTS else None,
        received=None if data.received is None else kind(data.received),
        residual=None if data.residual is None else kind(data.residual),
        last=data.last,
    )


def expect(config: NmpuConfig, data: Data) -> tuple[list[list[int]], list[list[bool]]]:
    """Return what the definition says of the same."""
    results = [
        [
            definition.nmpu(
                config,
                column,
                int(data.first[word, c]),
                int(data.second[word, c]),
                layer_shift=data.layer.shift,
                relu_before=data.layer.relu_before,
                relu_after=data.layer.relu_after,
                received=None if data.received is None else int(data.received[word, c]),
                residual=None if data.residual is None else int(data.residual[word, c]),
                last=data.last,
            )
            for c, column in enumerate(data.columns)
        ]
        for word in range(data.first.shape[0])
    ]
    return [[value for value, _ in row] for row in results], [[flag for _, flag in row] for row in results]


@settings(max_examples=300)
@given(config=configs(), data=st.data())
def test_every_unit_is_its_definition(config: NmpuConfig, data: st.DataObject) -> None:
    drive = data.draw(driven(config))
    values, flags = run(config, drive, np.array)
    expected, expected_flags = expect(config, drive)
    assert values.tolist() == expected
    assert flags.tolist() == expected_flags


@settings(max_examples=100)
@given(config=configs(), data=st.data())
def test_tensors_give_the_same_bits(config: NmpuConfig, data: st.DataObject) -> None:
    drive = data.draw(driven(config))
    values, flags = run(config, drive, np.array)
    kinds = [lambda a: torch.tensor(a, dtype=torch.int64)]
    if config.widest_bits <= 32:
        kinds += [lambda a: torch.tensor(a, dtype=torch.int32), lambda a: np.array(a, dtype=np.int32)]
    for kind in kinds:
        other = run(config, drive, kind)
        assert other.values.tolist() == values.tolist()
        assert other.saturated.tolist() == flags.tolist()


@settings(max_examples=100)
@given(config=configs(max_layer_shift=3), data=st.data())
def test_32_bits_suffice_where_the_widths_say_so(config: NmpuConfig, data: st.DataObject) -> None:
    assume(config.widest_bits <= 32)
    drive = data.draw(driven(config))
    values, flags = run(config, drive, lambda a: np.array(a, dtype=np.int32))
    expected, expected_flags = expect(config, drive)
    assert values.tolist() == expected
    assert flags.tolist() == expected_flags


def one(config: NmpuConfig, first: Any, second: Any = 0, **parts: Any) -> tuple[Any, Any]:
    """Run single elements of one column; Columns, Layer and the rest by keyword."""
    columns = {name: parts.pop(name) for name in list(parts) if name in Columns.__dataclass_fields__}
    layer = {name: parts.pop(name) for name in ("shift", "relu_before", "relu_after") if name in parts}
    layer |= {"shift": parts.pop("layer_shift")} if "layer_shift" in parts else {}
    for name in ("received", "residual"):
        if name in parts:
            parts[name] = np.asarray(parts[name])
    result = nmpu(
        config,
        Columns(**{"scale_p": ONE, "scale_n": ONE} | columns),
        Layer(**layer),
        np.asarray(first),
        np.asarray(second) if config.input is Input.COUNTS else None,
        **parts,
    )
    return np.asarray(result.values).tolist(), np.asarray(result.saturated).tolist()


def test_the_span_of_t_is_attained() -> None:
    config = NmpuConfig()
    columns = Columns(
        scale_p=np.array([255, 255]), scale_n=np.array([255, 255]), offset=np.array([config.offset.range.hi, -128])
    )
    total = affine(config, columns, Layer(), np.array([4095, 0]), np.array([0, 4095]))
    assert total.integers.tolist() == [1_052_353, -1_052_417]
    assert (config.affine_range(0).lo, config.affine_range(0).hi) == (-1_052_417, 1_052_353)
    assert config.affine_range(0).signed_bits == 22


def test_the_most_negative_code_negates_to_2048() -> None:
    config = NmpuConfig(input=Input.CODE, output=SQ(16, 0))
    assert one(config, [-2048, 2047], negate=1) == ([2048, -2047], [False, False])
    cut = dataclasses.replace(config, cut_pre=3)
    assert one(cut, [-2048, 1], scale_p=1, negate=1) == ([16, 0], [False, False])  # 2048 / 128; floor(-1 / 8) -> -1/16


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Rounding.FLOOR, [-3, -2, -1, 0, 1, 2]),
        (Rounding.HALF_UP, [-2, -1, 0, 1, 2, 3]),
        (Rounding.HALF_EVEN, [-2, -2, 0, 0, 2, 2]),
        (Rounding.HALF_AWAY, [-3, -2, -1, 1, 2, 3]),
    ],
)
def test_ties_through_the_unit(mode: Rounding, expected: list[int]) -> None:
    """-2.5, -1.5, -0.5, 0.5, 1.5 and 2.5 output LSB, as a single tile and as a partial sum without guard bits."""
    halves = np.array([-5, -3, -1, 1, 3, 5])
    counts = (np.maximum(halves, 0), np.maximum(-halves, 0))
    for config in (NmpuConfig(rounding=mode), NmpuConfig(rounding=mode, guard=0)):
        assert one(config, *counts, scale_p=64, scale_n=64)[0] == expected
    assert one(NmpuConfig(rounding=mode, guard=0), *counts, scale_p=64, scale_n=64, last=False)[0] == expected
    assert one(NmpuConfig(rounding=mode), 0, 0, offset=halves)[0] == expected


def test_a_negative_gamma_swaps_the_counts() -> None:
    """Swapping rounds -2.5 itself; negating the rounded 2.5 would give -3."""
    assert one(NmpuConfig(), 5, 0, scale_p=64) == (3, False)
    assert one(NmpuConfig(), 5, 0, scale_p=99, scale_n=64, negate=1) == (-2, False)


def test_the_offset_counts_half_output_lsb_at_every_shift() -> None:
    config = NmpuConfig(max_layer_shift=24, max_column_shift=7)
    for layer_shift in (0, 1, 11, 24):
        for shift in (0, 7):
            columns = Columns(scale_p=0, offset=-7, shift=shift)
            total = affine(config, columns, Layer(shift=layer_shift), np.array(9), np.array(9))
            assert Fraction(int(total.integers), 2 ** int(total.fraction)) == Fraction(-7, 2)


def test_products_are_cut_each_for_itself() -> None:
    """5/8 - 3/8 LSB, cut to whole LSB: 0 - 0. Cutting the difference of 3 and 5 would give -1."""
    config = NmpuConfig(cut_pre=7, guard=7)
    assert one(config, 3, 5, scale_p=16, scale_n=16, last=False) == (0, False)
    signed = NmpuConfig(input=Input.CODE, cut_pre=7, guard=7)
    assert one(signed, -2, scale_p=16, last=False) == (-128, False)


def test_cut_post_comes_after_the_rounding_and_before_saturation() -> None:
    config = NmpuConfig(cut_post=2)
    assert one(config, [15, 511, 512, 0], [0, 0, 0, 1]) == ([3, 127, 127, -1], [False, False, True, False])
    assert one(config, [3, 507, 510], 0, offset=1) == ([1, 127, 127], [False, False, False])  # 3.5 -> 4 -> 1
    assert one(config, 0, 5) == (-2, False)
    assert one(config, [7, 0], [0, 9], relu_after=True) == ([1, 0], [False, False])


def test_a_layer_of_one_tile_is_rounded_once() -> None:
    """0.375 LSB is 0; compressed to one guard bit it would be 0.5 first, then 1."""
    config = NmpuConfig(guard=1)
    assert one(config, 48, 0, scale_p=1) == (0, False)
    assert one(config, 48, 0, scale_p=1, received=0) == (1, False)
    assert one(dataclasses.replace(config, batch_norm=True), 48, 0, scale_p=1, bn_scale=ONE) == (1, False)


def test_a_single_tile_of_an_int8_unit_has_no_sum_that_could_saturate() -> None:
    config = NmpuConfig(int8=True, output=UQ(8, 0))
    assert one(config, 200, 0) == (200, False)
    assert one(config, 200, 0, last=False) == (127, True)
    assert one(config, 200, 0, received=0) == (127, True)


def test_int8_sums_saturate_in_row_tile_order() -> None:
    config = NmpuConfig(int8=True, output=INT8)

    def chain(terms: list[int]) -> tuple[int, bool]:
        total, flags = {}, []
        for tile, term in enumerate(terms, 1):
            result, flag = one(config, max(term, 0), max(-term, 0), last=tile == len(terms), **total)
            total = {"received": result}
            flags.append(flag)
        return result, any(flags)

    assert chain([100, 100, -100]) == (27, True)
    assert chain([100, -100, 100]) == (100, False)
    assert chain([-100, 100, 100]) == (100, False)
    assert chain([1000, -1000]) == (-128, True)  # the first sum ends at 127; a term itself is never saturated
    assert chain([100, -1000, 100]) == (-28, True)


def test_terms_are_not_saturated_before_the_int8_add() -> None:
    config = NmpuConfig(int8=True, output=INT8)
    assert one(config, 200, 0, received=-100, last=False) == (100, False)
    assert one(config, 0, 300, received=127, last=False) == (-128, True)


def test_a_clipped_negative_behind_relu_is_no_saturation() -> None:
    for output in (INT8, UQ(8, 0)):
        config = NmpuConfig(output=output)
        assert one(config, 0, 4000, relu_after=True) == (0, False)
        assert one(config, 4000, 0, relu_after=True) == (output.range.hi, True)
        assert one(config, 0, 4000) == (output.range.lo, True)


def test_a_saturating_sum_flags_even_where_relu_hides_it() -> None:
    low, high = definition.sums(NmpuConfig())
    for received, first, second in [(low, 0, 1), (high, 1, 0)]:
        last = one(NmpuConfig(), first, second, received=received, relu_after=True)
        passed = one(NmpuConfig(), first, second, received=received, last=False)
        assert last == (0 if received < 0 else 127, True)
        assert passed == (received, True)
    assert one(NmpuConfig(int8=True), 0, 200, received=-100, relu_after=True) == (0, True)


def test_relu_stands_on_either_side_of_the_residual() -> None:
    config = NmpuConfig()
    parts = {"residual": 20, "residual_scale": ONE}
    assert one(config, 0, 30, **parts) == (-10, False)
    assert one(config, 0, 30, relu_after=True, **parts) == (0, False)
    assert one(config, 0, 30, relu_before=True, **parts) == (20, False)
    assert one(config, 0, 30, relu_before=True, residual=-20, residual_scale=ONE) == (-20, False)
    assert one(config, 0, 30, relu_before=True, relu_after=True, residual=-20, residual_scale=ONE) == (0, False)


def test_the_residual_keeps_the_finer_fraction_and_rounds_once() -> None:
    """Operand and sum each keep less than half an LSB; only together they reach it."""
    config = NmpuConfig(max_column_shift=7)
    quarter = {"residual": 1, "residual_scale": 32}  # 1/4 LSB
    assert one(config, 32, 0, scale_p=1, **quarter) == (1, False)  # 1/4 + 1/4
    assert one(config, 31, 0, scale_p=1, **quarter) == (0, False)
    finest = {"residual": -1, "residual_scale": 1, "residual_shift": 7}  # -2**-14
    assert one(config, 64, 0, scale_p=1, **finest) == (0, False)
    half = {"residual": 1, "residual_scale": 64, "scale_p": 1, "scale_n": 1, "shift": 7}  # 1/2 LSB +- 2**-14
    assert one(config, [1, 0, 0], [0, 0, 1], **half) == ([1, 1, 0], [False, False, False])
    assert one(config, 1, 0, scale_p=64, received=0, **finest) == (0, False)


def test_residual_and_relu_act_on_the_last_tile_alone() -> None:
    config = NmpuConfig()
    parts = {"relu_after": True, "relu_before": True, "residual": 99, "residual_scale": ONE, "last": False}
    assert one(config, 0, 3, **parts) == (-12, False)


def test_batch_norm_signs_before_the_one_rounding() -> None:
    """0.5 negated is -0.5, which half up takes to 0; rounding first would give -1."""
    config = NmpuConfig(batch_norm=True)
    assert one(config, 1, 0, bn_scale=64) == (1, False)
    assert one(config, 1, 0, bn_scale=64, bn_negate=1) == (0, False)
    assert one(config, 1, 0, bn_scale=64, bn_shift=1, bn_offset=1) == (1, False)  # 1/4 + 1/2
    assert one(config, 64, 0, bn_scale=ONE, bn_shift=7, bn_offset=-1, bn_negate=1) == (-1, False)  # -1/2 - 1/2


def test_logits_leave_at_guard_precision() -> None:
    config = NmpuConfig()
    assert one(config, 1, 0, scale_p=ONE // 4, last=False) == (1, False)
    assert one(config, 1000, 0, last=False, received=4) == (4004, False)


@settings(max_examples=100)
@given(config=configs(), data=st.data())
def test_derived_ranges_are_never_left_and_just_reached(config: NmpuConfig, data: st.DataObject) -> None:
    for k in {0, config.max_shift // 2, config.max_shift}:
        ends = [end * 2 ** (config.affine_fraction + k) for end in definition.affine_ends(config, k)]
        assert (config.affine_range(k).lo, config.affine_range(k).hi) == tuple(ends)
    scale = 2 ** definition.fraction_of_sums(config)
    ends = [definition.rounded(end * scale, config.rounding) for end in definition.affine_ends(config, 0)]
    assert (config.term_range.lo, config.term_range.hi) == tuple(ends)
    assert (config.sum_range.lo, config.sum_range.hi) == definition.sums(config)
    drive = data.draw(driven(config))
    total = affine(config, drive.arrays(config), drive.layer, drive.first, drive.second)
    shift = np.broadcast_to(drive.layer.shift + drive.arrays(config).shift, total.integers.shape)
    for integer, k in zip(total.integers.ravel().tolist(), shift.ravel().tolist(), strict=True):
        assert config.affine_range(k).lo <= integer <= config.affine_range(k).hi
    terms = compress(config, total)
    assert config.term_range.lo <= terms.min() and terms.max() <= config.term_range.hi


@settings(max_examples=100)
@given(config=configs())
def test_what_the_last_rounding_meets_has_just_the_derived_width(config: NmpuConfig) -> None:
    ends = definition.last_ends(config)
    codes = [definition.rounded(end, config.rounding) for low, high, _ in ends for end in (low, high)]
    assert (config.rounded_range.lo, config.rounded_range.hi) == (min(codes), max(codes))
    for shift in range(config.max_bn_shift + 1):
        result = [end * 2 ** (config.bn_fraction + shift) for end in definition.batch_norm_ends(config, shift)]
        assert (config.bn_range(shift).lo, config.bn_range(shift).hi) == tuple(result)

    # Every number ever held: a whole product, T and the last sum with the half that rounds them, the adder's sum.
    entry = max(abs(code) for code in definition.entries(config)) * definition.codes(config.scale)[1]
    product = [Fraction(-entry if config.input is Input.CODE else 0), Fraction(entry)]
    terms = [
        definition.rounded(end * 2**config.sum_fraction, config.rounding) for end in definition.affine_ends(config, 0)
    ]
    held = product + [Fraction(total + term) for total, term in zip(definition.sums(config), terms, strict=True)]
    tiles = [(*definition.affine_ends(config, k), config.affine_fraction + k) for k in range(config.max_shift + 1)]
    for low, high, fraction in ends + tiles:
        held += [low * 2**fraction, high * 2**fraction + (1 << fraction >> 1)]
    assert config.widest_bits == Range(int(min(held)), int(max(held))).signed_bits
