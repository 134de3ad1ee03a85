"""The FP16 unit in hardware; `golden_model.fp16_unit` is its specification."""

from hdl.fp16_unit.ports import MEANINGS, members
from hdl.fp16_unit.schedule import Schedule
from hdl.fp16_unit.unit import Fp16Unit, create, standing

__all__ = ["MEANINGS", "Fp16Unit", "Schedule", "create", "members", "standing"]
