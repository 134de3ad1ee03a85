"""Binary16 arithmetic in hardware; `golden_model.float16` is its specification."""

from hdl.float16.convert import from_int, relu, to_int
from hdl.float16.multiply_add import LATENCIES, add, multiply, multiply_add
from hdl.float16.operation import Operation, Part

__all__ = ["LATENCIES", "Operation", "Part", "add", "from_int", "multiply", "multiply_add", "relu", "to_int"]
