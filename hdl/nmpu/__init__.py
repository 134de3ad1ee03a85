"""The near-memory processing unit in hardware; `golden_model.nmpu` is its specification."""

from hdl.nmpu.unit import Nmpu

__all__ = ["Nmpu"]
