"""Ranges and fractions along the datapath: what the stages and the pipeline agree on.

The run-time shifts become left shifts of the products, so that every total has one constant fraction: T of the affine
stage has F + max_shift fraction bits whatever k is, the value being exactly the golden model's T / 2**(F + k).
"""

from dataclasses import dataclass

from golden_model.fixed import Range
from golden_model.nmpu_config import Input, NmpuConfig


@dataclass(frozen=True, slots=True)
class Datapath:
    """The derived ranges of one configuration."""

    config: NmpuConfig

    @property
    def product(self) -> Range:
        """Return one product, without the `cut_pre` low bits that are dropped from it."""
        product = self.config.product_range
        return Range(product.lo >> self.config.cut_pre, product.hi >> self.config.cut_pre)

    @property
    def products(self) -> Range:
        """Return the difference of the two products, or the one product of a signed code."""
        return self.product if self.config.input is Input.CODE else self.product - self.product

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
    def sum(self) -> Range:
        """Return what leaves the accumulate stage, at `sum_fraction`."""
        return self.config.sum_range if self.config.partial_sum else self.config.term_range

    @property
    def bn_product(self) -> Range:
        """Return the signed product of the batch-norm stage."""
        product = self.sum * self.config.bn_scale.range
        return product | -product

    @property
    def combines(self) -> bool:
        """Return whether a step of its own exists for batch-norm offset, ReLUs and residual."""
        return self.config.residual

    @property
    def total_fraction(self) -> int:
        """Return the fraction bits of what reaches the last stages: T, a sum aligned to T, or the batch norm."""
        return self.config.bn_fraction + self.config.max_bn_shift if self.config.batch_norm else self.affine_fraction

    @property
    def total(self) -> Range:
        """Return the range at `total_fraction`, a bypassing partial sum included."""
        config = self.config
        if config.batch_norm:
            product = self.bn_product << (config.bn_fraction - config.sum_fraction - config.bn_scale.fraction)
            offset = config.bn_offset.range << (config.bn_fraction - config.bn_offset.fraction)
            total = (product + offset) << config.max_bn_shift
        else:
            total = self.affine
        return total | self.bypass if config.partial_sum else total

    @property
    def bypass(self) -> Range:
        """Return a partial sum aligned to `total_fraction`, the way in which it travels to the output."""
        return self.sum << (self.total_fraction - self.config.sum_fraction)

    @property
    def residual_product(self) -> Range:
        """Return the product of the residual stage."""
        return self.config.residual_input.range * self.config.residual_scale.range

    @property
    def final_fraction(self) -> int:
        """Return the fraction bits that the requantise stage rounds away: the finest of total and residual."""
        if not self.config.residual:
            return self.total_fraction
        return max(self.total_fraction, self.config.residual_scale.fraction + self.config.max_residual_shift)

    @property
    def final(self) -> Range:
        """Return the range of what the requantise stage takes."""
        total = self.total << (self.final_fraction - self.total_fraction)
        if not self.config.residual:
            return total
        return total + (self.residual_product << (self.final_fraction - self.config.residual_scale.fraction))
