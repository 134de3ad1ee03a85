"""What is fixed when a near-memory processing unit is built, and what is written into it at run time.

The golden model and the RTL take the same `NmpuConfig`; every intermediate width of either is derived here, by exact
interval arithmetic. Formats: the paper's (arXiv 2402.07549); options and corners: ours (docs/units/nmpu.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from golden_model.errors import UserError
from golden_model.fixed import INT8, SQ, SYM8, UQ, Format, Range, Rounding


class Input(Enum):
    """What the converter beside the array delivers for a column."""

    COUNTS = "counts"
    """Two unsigned counts, of the positive and of the negative current."""
    CODE = "code"
    """One signed code of the difference."""


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} = {value}: allowed are {low} to {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NmpuConfig:
    """What is fixed when the unit is built. The golden model and the RTL take the same object.

    Refuses (UserError) what no hardware could be: a cut deeper than the number it cuts, more guard bits than the affine
    result has fraction bits, widths that this model's 64-bit integers cannot follow.
    """

    input: Input = Input.COUNTS
    """Two counts or one signed code a column."""
    input_bits: int = 12
    """Width of a count (unsigned) or of the code (two's complement), 1 to 32 bits."""
    scale: Format = UQ(1, 7)
    """Format of the affine scales, unsigned."""
    offset: Format = SQ(7, 1)
    """Format of the affine offset, signed, in output LSB."""
    rounding: Rounding = Rounding.HALF_UP
    """Rounding of the compression and of the requantisation."""
    cut_pre: int = 0
    """Low bits dropped (floor) from each product before the subtraction."""
    cut_post: int = 0
    """Bits dropped (floor) after the last rounding, before saturation; offsets count the LSB before this cut."""
    guard: int = 2
    """Fraction bits of a partial sum, 0 to 7; 0 in effect where `int8` is on."""
    max_layer_shift: int = 0
    """Largest right shift of a whole layer, 0 to 24, set at run time."""
    max_column_shift: int = 0
    """Largest right shift of one column, 0 to 7, set at run time, the same for all tiles of the column."""
    partial_sum: bool = True
    """Whether the adder for a partial sum from the tile before exists."""
    int8: bool = False
    """Whether partial sums travel as saturating INT8 (HERMES) instead of at guard precision."""
    max_tiles: int = 16
    """How many tiles a column may be spread over: fixes the width of a partial sum."""
    batch_norm: bool = False
    """Whether batch norm is a stage of its own behind the sum (`bn_after`); else it is folded into the scales."""
    bn_scale: Format = UQ(1, 7)
    """Format of the batch-norm scale, unsigned; its sign is a flag of its own."""
    bn_offset: Format = SQ(7, 1)
    """Format of the batch-norm offset, signed, in output LSB."""
    max_bn_shift: int = 7
    """Largest right shift of the batch-norm product, 0 to 7, a column."""
    residual: bool = True
    """Whether the residual adder exists."""
    residual_input: Format = INT8
    """Format of the residual operand."""
    residual_scale: Format = UQ(1, 7)
    """Format of the residual scale, unsigned."""
    max_residual_shift: int = 7
    """Largest right shift of the residual product, 0 to 7, a column."""
    relu: bool = True
    """Whether the ReLUs exist: after the residual add, and before it where there is a residual stage."""
    output: Format = SYM8
    """Format of the output code: SYM8 feeds a sign + 7-bit encoder; INT8 or UINT n feed others."""
    units: int = 64
    """Lanes that work side by side."""
    columns: int = 4
    """Columns that share one lane in time: the unit serves units * columns columns."""
    carry_save: bool = False
    """Whether the RTL's multipliers leave two rows of bits that one later adder carries: a fifth less clock period on
    less area, and Verilog seven times as long, slower to simulate. No bit, port or cycle changes. Where products meet
    nothing else in that adder (a signed code, cuts, run-time shifts), only the residual's multiplier does so."""

    def __post_init__(self) -> None:
        signed = self.input is Input.CODE
        _within("input_bits", self.input_bits, 2 if signed else 1, 32)
        for name in ("scale", "bn_scale", "residual_scale"):
            if getattr(self, name).signed:
                raise UserError(f"{name} = {getattr(self, name)}: a scale is unsigned, for example UQ(1,7)")
        for name in ("offset", "bn_offset"):
            if not getattr(self, name).signed or getattr(self, name).symmetric:
                raise UserError(f"{name} = {getattr(self, name)}: an offset is two's complement, for example SQ(7,1)")
        for name in ("residual_input", "output"):
            if getattr(self, name).fraction:
                raise UserError(
                    f"{name} = {getattr(self, name)}: a code has no fraction bits, for example SYM8 or INT8"
                )
        _within("guard", self.guard, 0, 7)
        if self.guard > self.affine_fraction:
            raise UserError(
                f"guard = {self.guard}: the affine result has only {self.affine_fraction} fraction bits "
                f"(scale {self.scale}, offset {self.offset}); lower guard or widen a fraction"
            )
        _within("max_layer_shift", self.max_layer_shift, 0, 24)
        for name in ("max_column_shift", "max_bn_shift", "max_residual_shift"):
            _within(name, getattr(self, name), 0, 7)
        for name in ("max_tiles", "units", "columns"):
            _within(name, getattr(self, name), 1, 65536)
        if self.int8 and not self.partial_sum:
            raise UserError("int8 = true needs partial_sum = true: INT8 sums are what is summed between tiles")
        _within("cut_pre", self.cut_pre, 0, self._whole_product_range.unsigned_bits - 1)
        _within("cut_post", self.cut_post, 0, self.rounded_range.signed_bits - 2)
        if self.widest_bits > 63:
            raise UserError(
                f"the widest intermediate needs {self.widest_bits} bits and the golden model has 63: "
                "lower input_bits, max_layer_shift or a format"
            )

    @property
    def input_range(self) -> Range:
        """Return the range of a count or of the code."""
        if self.input is Input.CODE:
            return SQ(self.input_bits, 0).range
        return UQ(self.input_bits, 0).range

    @property
    def max_shift(self) -> int:
        """Return the largest k = layer shift + column shift."""
        return self.max_layer_shift + self.max_column_shift

    @property
    def affine_fraction(self) -> int:
        """Return the fraction bits F of T at shift 0: the finer of scale and offset. T has F + k."""
        return max(self.scale.fraction, self.offset.fraction)

    @property
    def _whole_product_range(self) -> Range:
        entry = self.input_range
        return (entry | -entry if self.input is Input.CODE else entry) * self.scale.range

    @property
    def product_range(self) -> Range:
        """Return the range of one count (or negatable code) times one scale, cut, at the scale's fraction."""
        return self._whole_product_range.round_shift(self.cut_pre, Rounding.FLOOR) << self.cut_pre

    def affine_range(self, k: int) -> Range:
        """Return the range of T at shift k; 12-bit counts, UQ(1,7), SQ(7,1), k = 0: -1,052,417 .. 1,052,353."""
        product = self.product_range << (self.affine_fraction - self.scale.fraction)
        products = product if self.input is Input.CODE else product - product
        return products + (self.offset.range << (self.affine_fraction - self.offset.fraction + k))

    @property
    def sum_fraction(self) -> int:
        """Return the fraction bits of a partial sum: `guard`, or 0 where sums are INT8."""
        return 0 if self.int8 else self.guard

    @property
    def term_range(self) -> Range:
        """Return the range of one tile's compressed term (widest at k = 0)."""
        return self.affine_range(0).round_shift(self.affine_fraction - self.sum_fraction, self.rounding)

    @property
    def sum_range(self) -> Range:
        """Return what a partial sum holds: two's complement, wide enough for `max_tiles` terms; INT8 with `int8`."""
        if self.int8:
            return INT8.range
        bits = (self.term_range * Range(1, self.max_tiles)).signed_bits
        return Range(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)

    @property
    def bn_fraction(self) -> int:
        """Return the fraction bits of the batch-norm result at shift 0; it has this + the column's batch-norm shift."""
        return max(self.sum_fraction + self.bn_scale.fraction, self.bn_offset.fraction)

    def bn_range(self, shift: int) -> Range:
        """Return the range of the batch-norm result at a batch-norm shift."""
        product = self.sum_range * self.bn_scale.range
        product = (product | -product) << (self.bn_fraction - self.sum_fraction - self.bn_scale.fraction)
        return product + (self.bn_offset.range << (self.bn_fraction - self.bn_offset.fraction + shift))

    @property
    def final_sums(self) -> list[tuple[Range, int]]:
        """Return range and fraction bits of what can reach the last stages: extremes of the run-time shifts."""
        if self.batch_norm:
            return [(self.bn_range(s), self.bn_fraction + s) for s in {0, self.max_bn_shift}]
        single = [(self.affine_range(k), self.affine_fraction + k) for k in {0, self.max_shift}]
        return [*single, (self.sum_range, self.sum_fraction)] if self.partial_sum else single

    @property
    def aligned_sums(self) -> list[tuple[Range, int]]:
        """Return `final_sums` with the residual added at the finer fraction, where there is a residual stage."""
        if not self.residual:
            return self.final_sums
        product = self.residual_input.range * self.residual_scale.range
        aligned = []
        for total, fraction in self.final_sums:
            for shift in {0, self.max_residual_shift}:
                finer = max(fraction, self.residual_scale.fraction + shift)
                operand = product << (finer - self.residual_scale.fraction - shift)
                aligned.append(((total << (finer - fraction)) + operand, finer))
        return aligned

    @property
    def rounded_range(self) -> Range:
        """Return the range of the rounded value before `cut_post`, in the LSB that offsets count."""
        rounded = [total.round_shift(fraction, self.rounding) for total, fraction in self.aligned_sums]
        return Range(min(r.lo for r in rounded), max(r.hi for r in rounded))

    @property
    def widest_bits(self) -> int:
        """Return the width of the widest intermediate anywhere, the half that rounding adds included."""
        shifts = (0, self.max_shift)
        rounded = [*self.aligned_sums, *((self.affine_range(k), self.affine_fraction + k) for k in shifts)]
        stages = [self._whole_product_range, self.sum_range + self.term_range]
        stages += [total + Range(0, 1 << fraction >> 1) for total, fraction in rounded]
        return max(stage.signed_bits for stage in stages)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Run-time parameters, one entry a column: integer codes in the configuration's formats.

    Arrays (or tensors) that broadcast against the data: shape (columns,) beside data whose last axis is the column.
    """

    scale_p: Any
    """Scale of what is added, code in `scale`; the only one where the input is a signed code."""
    scale_n: Any = 0
    """Scale of what is subtracted, code in `scale`."""
    offset: Any = 0
    """Code in `offset`, in half output LSB for SQ(7,1), whatever the shift."""
    shift: Any = 0
    """Right shift of the column, 0 .. max_column_shift."""
    negate: Any = 0
    """0 or 1: swap the two counts, or negate the code, before the multiplication (a negative gamma)."""
    bn_scale: Any = 0
    """Batch-norm scale, code in `bn_scale`."""
    bn_offset: Any = 0
    """Batch-norm offset, code in `bn_offset`."""
    bn_shift: Any = 0
    """Right shift of the batch-norm product, 0 .. max_bn_shift."""
    bn_negate: Any = 0
    """0 or 1: subtract the batch-norm product instead of adding it."""
    residual_scale: Any = 0
    """Scale of the residual operand, code in `residual_scale`."""
    residual_shift: Any = 0
    """Right shift of the residual product, 0 .. max_residual_shift."""

    @staticmethod
    def ranges(config: NmpuConfig) -> dict[str, Range]:
        """Return, by field, the codes that the unit of this configuration stores; a field it lacks holds only 0."""
        flag, none = Range(0, 1), Range(0, 0)
        bn, residual = config.batch_norm, config.residual
        return {
            "scale_p": config.scale.range,
            "scale_n": config.scale.range if config.input is Input.COUNTS else none,
            "offset": config.offset.range,
            "shift": Range(0, config.max_column_shift),
            "negate": flag,
            "bn_scale": config.bn_scale.range if bn else none,
            "bn_offset": config.bn_offset.range if bn else none,
            "bn_shift": Range(0, config.max_bn_shift) if bn else none,
            "bn_negate": flag if bn else none,
            "residual_scale": config.residual_scale.range if residual else none,
            "residual_shift": Range(0, config.max_residual_shift) if residual else none,
        }

    def check(self, config: NmpuConfig) -> None:
        """Refuse (UserError) a code that the unit cannot store."""
        for name, allowed in self.ranges(config).items():
            codes = np.asarray(getattr(self, name))
            if codes.size and (codes.min() < allowed.lo or codes.max() > allowed.hi):
                raise UserError(
                    f"{name} has codes {codes.min()} .. {codes.max()}: this unit stores {allowed.lo} .. {allowed.hi}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Run-time parameters of a whole layer, the same for all its columns."""

    shift: int = 0
    """Right shift of the layer, 0 .. max_layer_shift."""
    relu_before: bool = False
    """ReLU before the residual is added (resnet9s); only where there is a residual stage."""
    relu_after: bool = False
    """ReLU after the residual was added (He), the one ReLU of a layer without a residual."""

    def check(self, config: NmpuConfig) -> None:
        """Refuse (UserError) what the unit of this configuration cannot do."""
        _within("layer shift", self.shift, 0, config.max_layer_shift)
        if (self.relu_before or self.relu_after) and not config.relu:
            raise UserError("a layer with ReLU needs a unit with relu = true")
        if self.relu_before and not config.residual:
            raise UserError("relu_before needs a unit with residual = true; without one, use relu_after")
