"""The near-memory processing unit in hardware; `golden_model.nmpu` is its specification."""

from hdl.nmpu.lane import Lane, standing
from hdl.nmpu.ports import MEANINGS, members
from hdl.nmpu.schedule import Schedule
from hdl.nmpu.unit import Nmpu, create

__all__ = ["MEANINGS", "Lane", "Nmpu", "Schedule", "create", "members", "standing"]
