"""Ranges and fractions along the datapath: what the stages and the pipeline agree on.

The run-time shifts become left shifts of the products, so that every total has one constant fraction: T of the affine
stage has F + max_shift fraction bits whatever k is, the value being exactly the golden model's T / 2**(F + k).
"""

from dataclasses import dataclass

from golden_model.fixed import Range, Rounding
from golden_model.nmpu_config import Input, NmpuConfig


@dataclass(frozen=True, slots=True)
class Datapath:
    """The derived ranges of one configuration."""

    config: NmpuConfig

    @property
    def negates_late(self) -> bool:
        """Return whether the adder negates the product of a signed code: flipped bits and a carry, no cut between."""
        return self.config.input is Input.CODE and not self.config.cut_pre

    @property
    def _one_adder(self) -> bool:
        """Return whether products, offset and rounding can meet in one adder: no run-time shift between them, and a
        rounding that is a constant.
        """
        return not self.config.max_shift and self.config.rounding in (Rounding.FLOOR, Rounding.HALF_UP)

    @property
    def fused(self) -> bool:
        """Return whether that adder is the multiplier's, and its carry the last rounding: nothing else is added."""
        return self._one_adder and not self.config.cut_pre and not self.sums and not self.config.residual

    @property
    def gathers(self) -> bool:
        """Return whether that adder takes the partial sum of the tile before as well."""
        return self._one_adder and self.sums

    @property
    def carry_save(self) -> bool:
        """Return whether two products leave the multipliers as two rows: what adds them is that adder."""
        counts = self.config.input is Input.COUNTS and not self.config.cut_pre and self.config.carry_save
        return self.gathers and counts and self.affine_fraction == self.config.scale.fraction

    @property
    def rows_bias(self) -> int:
        """Return what the two rows add up to beside T, so that no row on the way is negative: a power of two."""
        lacks = 2 * ((1 << self.product.unsigned_bits) - 1)
        return 1 << (lacks - (self.config.offset.range.lo << self.offset_place)).bit_length()

    @property
    def row(self) -> Range:
        """Return one of these rows."""
        return Range(0, (1 << (self.affine.hi + self.rows_bias).bit_length()) - 1)

    @property
    def offset_place(self) -> int:
        """Return the bit of T at which the offset stands."""
        return self.affine_fraction - self.config.offset.fraction

    @property
    def limits(self) -> bool:
        """Return whether the saturation of that adder's sum has the step behind it, with the first ReLU."""
        return self.gathers and not self.config.batch_norm

    @property
    def gathered(self) -> Range:
        """Return what that adder makes: T, the received sum and the half of the rounding."""
        received = self.config.sum_range << self.compression if self.config.partial_sum else Range(0, 0)
        return self.affine + received + Range(0, self.gathered_half)

    @property
    def gathered_half(self) -> int:
        """Return what rounds in it."""
        return 1 << self.compression >> 1 if self.config.rounding is Rounding.HALF_UP else 0

    @property
    def half(self) -> int:
        """Return what the rounding adds to T in the multiplier's adder."""
        return 1 << self.affine_fraction >> 1 if self.config.rounding is Rounding.HALF_UP else 0

    @property
    def summed(self) -> Range:
        """Return what leaves the multiplier's adder: T rounded, or its complement where a signed code is negated."""
        whole = self.affine + Range(self.half, self.half)
        if self.config.input is Input.CODE:
            whole = whole | Range(~whole.hi, ~whole.lo)
        return Range(whole.lo >> self.affine_fraction, whole.hi >> self.affine_fraction)

    @property
    def product(self) -> Range:
        """Return one product, without the `cut_pre` low bits that are dropped from it."""
        entry = self.config.input_range
        if self.config.input is Input.CODE and not self.negates_late:
            entry = entry | -entry
        return (entry * self.config.scale.range).round_shift(self.config.cut_pre, Rounding.FLOOR)

    @property
    def affine_fraction(self) -> int:
        """Return the fraction bits of the affine stage's total T: F + max_shift."""
        return self.config.affine_fraction + self.config.max_shift

    @property
    def affine(self) -> Range:
        """Return T at its constant fraction; the widest is that of shift 0."""
        return self.config.affine_range(0) << self.config.max_shift

    @property
    def sums(self) -> bool:
        """Return whether the stages compress and accumulate exist: something travels at guard precision."""
        return self.config.partial_sum or self.config.batch_norm

    @property
    def chooses(self) -> bool:
        """Return whether a column of one tile can skip the compression: batch norm always works on a rounded sum."""
        return self.config.partial_sum and not self.config.batch_norm

    @property
    def compression(self) -> int:
        """Return the bits that the compression drops from T."""
        return self.affine_fraction - self.config.sum_fraction

    @property
    def keeps_rest(self) -> bool:
        """Return whether bits below a sum's fraction travel with it, for the column of one tile."""
        return self.chooses and self.compression > 0

    @property
    def rest(self) -> Range:
        """Return the bits of T below a sum's fraction."""
        return Range(0, (1 << self.compression) - 1)

    @property
    def term(self) -> Range:
        """Return floor(T) at a sum's fraction, before the carry that rounds it."""
        return Range(self.affine.lo >> self.compression, self.affine.hi >> self.compression)

    @property
    def clips_by_choice(self) -> bool:
        """Return whether T of a column of one tile would not pass the saturation of sums: it must be off there."""
        return self.chooses and self.config.sum_range | self.term != self.config.sum_range

    @property
    def sum(self) -> Range:
        """Return what leaves the accumulate stage, at `sum_fraction`."""
        if not self.config.partial_sum:
            return self.term + Range(0, 1)
        return self.config.sum_range | self.term if self.chooses else self.config.sum_range

    @property
    def bn_product(self) -> Range:
        """Return the product of the batch-norm stage, not yet negated."""
        return self.sum * self.config.bn_scale.range

    @property
    def bn_total(self) -> Range:
        """Return the batch norm's result at `total_fraction`; the widest is that of shift 0."""
        config = self.config
        product = (self.bn_product | -self.bn_product) << (
            config.bn_fraction - config.sum_fraction - config.bn_scale.fraction
        )
        offset = config.bn_offset.range << (config.bn_fraction - config.bn_offset.fraction + config.max_bn_shift)
        return (product << config.max_bn_shift) + offset

    @property
    def total_fraction(self) -> int:
        """Return the fraction bits of what reaches the last stages: T, a sum aligned to T, or the batch norm."""
        return self.config.bn_fraction + self.config.max_bn_shift if self.config.batch_norm else self.affine_fraction

    @property
    def total(self) -> Range:
        """Return the range at `total_fraction`, a partial sum on its way to the output included."""
        if self.config.batch_norm:
            return self.bn_total
        return (self.sum << self.compression) | self.affine if self.chooses else self.affine

    @property
    def sum_position(self) -> int:
        """Return the bit of the total at which a partial sum on its way to the output stands.

        It passes batch norm with scale code 1, shift 0 and no offset: a product like any other.
        """
        below = self.config.bn_scale.fraction if self.config.batch_norm else 0
        return self.total_fraction - self.config.sum_fraction - below

    @property
    def residual_product(self) -> Range:
        """Return the product of the residual stage."""
        return self.config.residual_input.range * self.config.residual_scale.range

    @property
    def residual_fraction(self) -> int:
        """Return the fraction bits of the residual product once it is aligned."""
        return self.config.residual_scale.fraction + self.config.max_residual_shift

    @property
    def final_fraction(self) -> int:
        """Return the fraction bits that the requantise stage rounds away: the finest of total and residual."""
        if self.fused:
            return 0
        return max(self.total_fraction, self.residual_fraction) if self.config.residual else self.total_fraction

    @property
    def final(self) -> Range:
        """Return the range of what the requantise stage takes."""
        if self.fused:
            return self.affine.round_shift(self.affine_fraction, self.config.rounding)
        total = self.total << (self.final_fraction - self.total_fraction)
        if not self.config.residual:
            return total
        return total + (self.residual_product << (self.final_fraction - self.config.residual_scale.fraction))
