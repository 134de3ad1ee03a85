"""What a unit refuses to be: every message says what was wrong and what is allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from golden_model.errors import UserError
from golden_model.fixed import INT8, SQ, SYM8, UQ, Format, Range
from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig


def test_the_default_unit_is_the_papers() -> None:
    config = NmpuConfig()
    assert (config.scale, config.offset, config.output, config.input_bits) == (UQ(1, 7), SQ(7, 1), SYM8, 12)
    assert (config.bn_scale, config.bn_offset, config.residual_scale) == (UQ(1, 7), SQ(7, 1), UQ(1, 7))
    assert (config.units, config.columns, config.guard, config.max_tiles) == (64, 4, 2, 16)
    assert (config.max_shift, config.affine_fraction) == (0, 7)
    assert config.product_range == Range(0, 4095 * 255)
    assert config.sum_range.signed_bits == 1 + (16 * 32887).bit_length()  # 16 tiles of round(1,052,353 / 32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_bits": 0}, r"input_bits = 0: allowed are 1 to 32"),
        ({"input_bits": 33}, r"input_bits = 33: allowed are 1 to 32"),
        ({"input": Input.CODE, "input_bits": 1}, r"input_bits = 1: allowed are 2 to 32"),
        ({"scale": SQ(1, 7)}, r"scale = SQ\(1,7\): a scale is unsigned, for example UQ\(1,7\)"),
        ({"bn_scale": SQ(1, 7)}, r"bn_scale = SQ\(1,7\): a scale is unsigned"),
        ({"residual_scale": SQ(1, 7)}, r"residual_scale = .*: a scale is unsigned"),
        ({"offset": UQ(7, 1)}, r"offset = UQ\(7,1\): an offset is two's complement, for example SQ\(7,1\)"),
        ({"bn_offset": Format(True, 7, 1, symmetric=True)}, r"bn_offset = SYM\(7,1\): an offset is two's complement"),
        ({"output": SQ(7, 1)}, r"output = SQ\(7,1\): a code has no fraction bits, for example SYM8 or INT8"),
        ({"residual_input": UQ(1, 7)}, r"residual_input = UQ\(1,7\): a code has no fraction bits"),
        ({"guard": 8}, r"guard = 8: allowed are 0 to 7"),
        ({"guard": 3, "scale": UQ(6, 2)}, r"guard = 3: the affine result has only 2 fraction bits"),
        ({"max_layer_shift": 25}, r"max_layer_shift = 25: allowed are 0 to 24"),
        ({"max_column_shift": 8}, r"max_column_shift = 8: allowed are 0 to 7"),
        ({"max_bn_shift": 8}, r"max_bn_shift = 8: allowed are 0 to 7"),
        ({"max_residual_shift": -1}, r"max_residual_shift = -1: allowed are 0 to 7"),
        ({"max_tiles": 0}, r"max_tiles = 0: allowed are 1 to 65536"),
        ({"units": 0}, r"units = 0: allowed are 1 to 65536"),
        ({"columns": 0}, r"columns = 0: allowed are 1 to 65536"),
        ({"int8": True, "partial_sum": False}, r"int8 = true needs partial_sum = true"),
        ({"cut_pre": -1}, r"cut_pre = -1: allowed are 0 to 19"),
        ({"cut_pre": 20}, r"cut_pre = 20: allowed are 0 to 19"),
        ({"cut_pre": 20, "input": Input.CODE}, r"cut_pre = 20: allowed are 0 to 18"),
        ({"cut_post": -1}, r"cut_post = -1: allowed are 0 to "),
        ({"cut_post": 30}, r"cut_post = 30: allowed are 0 to \d+$"),
        (
            {"input_bits": 32, "max_layer_shift": 24, "max_column_shift": 7, "offset": SQ(16, 1), "scale": UQ(1, 23)},
            r"the widest intermediate needs \d+ bits and the golden model has 63: lower input_bits",
        ),
    ],
    ids=str,
)
def test_units_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        NmpuConfig(**fields)


@pytest.mark.parametrize(("kind", "deepest"), [(Input.COUNTS, 19), (Input.CODE, 18)])
def test_the_deepest_cut_leaves_one_bit_of_a_product(kind: Input, deepest: int) -> None:
    config = NmpuConfig(input=kind, cut_pre=deepest)
    assert config.product_range.hi == 1 << deepest


def test_the_deepest_cut_behind_the_rounding_leaves_a_sign_and_a_bit() -> None:
    bits = NmpuConfig().rounded_range.signed_bits
    assert NmpuConfig(cut_post=bits - 2)
    with pytest.raises(UserError, match=rf"cut_post = {bits - 1}: allowed are 0 to {bits - 2}"):
        NmpuConfig(cut_post=bits - 1)


def test_a_cut_product_of_a_signed_code_reaches_below_the_whole_one() -> None:
    """floor(-6 / 4) * 4 = -8: with the offset's -4, T needs a bit more than the whole products would."""
    config = NmpuConfig(input=Input.CODE, input_bits=2, scale=UQ(1, 1), offset=SQ(1, 1), guard=1, cut_pre=2)
    assert config.product_range == Range(-8, 4)
    assert config.affine_range(0) == Range(-10, 5)
    assert config.affine_range(0).signed_bits == 5


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (NmpuConfig(), {"scale_p": 256}, r"scale_p has codes 256 .. 256: this unit stores 0 .. 255"),
        (NmpuConfig(), {"scale_p": 1, "scale_n": -1}, r"scale_n has codes -1 .. -1: this unit stores 0 .. 255"),
        (NmpuConfig(), {"scale_p": 1, "offset": np.array([0, -129])}, r"offset has codes -129 .. 0: .* -128 .. 127"),
        (NmpuConfig(), {"scale_p": 1, "shift": 1}, r"shift has codes 1 .. 1: this unit stores 0 .. 0"),
        (NmpuConfig(), {"scale_p": 1, "negate": 2}, r"negate has codes 2 .. 2: this unit stores 0 .. 1"),
        (NmpuConfig(), {"scale_p": 1, "bn_scale": 1}, r"bn_scale has codes 1 .. 1: this unit stores 0 .. 0"),
        (NmpuConfig(residual=False), {"scale_p": 1, "residual_scale": 1}, r"residual_scale .* stores 0 .. 0"),
        (NmpuConfig(input=Input.CODE), {"scale_p": 1, "scale_n": 1}, r"scale_n .* stores 0 .. 0"),
    ],
)
def test_parameters_that_cannot_be_stored(config: NmpuConfig, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Columns(**fields).check(config)


def test_the_widest_unit_has_63_bits() -> None:
    fields = {"max_layer_shift": 24, "max_column_shift": 7, "residual": False}
    assert NmpuConfig(offset=SQ(24, 1), **fields).widest_bits == 63
    with pytest.raises(UserError, match=r"the widest intermediate needs 64 bits and the golden model has 63"):
        NmpuConfig(offset=SQ(25, 1), **fields)


def test_parameters_at_the_ends_of_their_ranges_are_stored() -> None:
    config = NmpuConfig(batch_norm=True, max_column_shift=7)
    for end in ("lo", "hi"):
        ends = {name: np.array([getattr(allowed, end)]) for name, allowed in Columns.ranges(config).items()}
        Columns(**ends).check(config)
        Columns(**{name: torch.tensor(codes) for name, codes in ends.items()}).check(config)


@pytest.mark.parametrize(
    ("config", "layer", "message"),
    [
        (NmpuConfig(), Layer(shift=1), r"layer shift = 1: allowed are 0 to 0"),
        (NmpuConfig(relu=False), Layer(relu_after=True), r"needs a unit with relu = true"),
        (NmpuConfig(relu=False), Layer(relu_before=True), r"needs a unit with relu = true"),
        (NmpuConfig(residual=False), Layer(relu_before=True), r"needs a unit with residual = true; without one, use"),
    ],
)
def test_layers_that_a_unit_cannot_do(config: NmpuConfig, layer: Layer, message: str) -> None:
    with pytest.raises(UserError, match=message):
        layer.check(config)


def test_layers_that_a_unit_can_do() -> None:
    Layer(shift=3, relu_before=True, relu_after=True).check(NmpuConfig(max_layer_shift=3))
    Layer(relu_after=True).check(NmpuConfig(residual=False))
    Layer().check(NmpuConfig(residual=False, relu=False))


@pytest.mark.parametrize(
    ("fields", "drive", "message"),
    [
        ({"partial_sum": False}, {"received": 0}, r"needs a unit with partial_sum = true"),
        ({"partial_sum": False}, {"last": False}, r"needs a unit with partial_sum = true"),
        ({"residual": False}, {"residual": 0}, r"needs a unit with residual = true"),
        ({}, {"second": None}, r"this unit takes two counts: pass first and second"),
    ],
    ids=str,
)
def test_ports_that_a_unit_does_not_have(fields: dict[str, Any], drive: dict[str, Any], message: str) -> None:
    arguments = {"second": np.array([2])} | drive
    with pytest.raises(UserError, match=message):
        nmpu(NmpuConfig(**fields), Columns(scale_p=np.array([1])), Layer(), np.array([1]), **arguments)


def test_int8_units_sum_at_the_output_lsb() -> None:
    config = NmpuConfig(int8=True, guard=5)
    assert (config.sum_fraction, config.sum_range) == (0, INT8.range)
