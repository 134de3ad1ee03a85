"""The bus in front of a unit: parameters, read-back, flags and identification behind an APB subordinate."""

from hdl.apb.registers import ALIGNED, Access, Register, RegisterMap
from hdl.apb.wrapper import ApbUnit

__all__ = ["ALIGNED", "Access", "ApbUnit", "Register", "RegisterMap"]
