"""HCiM's scale-factor array in hardware; `golden_model.scale_array` is its specification."""

from hdl.scale_array.ports import MEANINGS, members
from hdl.scale_array.schedule import Schedule
from hdl.scale_array.unit import ScaleArray, create

__all__ = ["MEANINGS", "ScaleArray", "Schedule", "create", "members"]
