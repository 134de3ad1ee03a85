"""Boolean functions of Liberty (`function`, `when`, `next_state`): read once, written as Verilog, evaluated in numpy.

Precedence as the format has it: inversion (`!` in front, `'` behind), then `^`, then AND (`*`, `&`, or nothing between
two operands), then OR (`+`, `|`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError

Bits: TypeAlias = NDArray[np.bool_]

_TOKEN = re.compile(r"\s*([A-Za-z_][\w\[\]]*|[01]|[!'^*&+|()])")
_VERILOG = {"and": "&", "or": "|", "xor": "^"}


@dataclass(frozen=True, slots=True)
class Function:
    """A Boolean function of pins; it is a pin, a constant, or an operation on functions."""

    kind: str
    """`pin`, `constant`, `not`, `and`, `or`, `xor`."""
    name: str = ""
    """The pin, or `0` or `1`."""
    operands: tuple[Function, ...] = ()
    """What the operation is of."""

    @property
    def pins(self) -> frozenset[str]:
        """Return the pins that it mentions."""
        own = frozenset({self.name}) if self.kind == "pin" else frozenset()
        return own.union(*(operand.pins for operand in self.operands))

    @property
    def verilog(self) -> str:
        """Return it as a Verilog expression of signals that have the pins' names."""
        if self.kind == "pin":
            return self.name
        if self.kind == "constant":
            return f"1'b{self.name}"
        if self.kind == "not":
            return f"~{self.operands[0].verilog}"
        return f"({f' {_VERILOG[self.kind]} '.join(operand.verilog for operand in self.operands)})"

    def of(self, values: Mapping[str, Bits]) -> Bits:
        """Return its values, elementwise, for arrays of pin values."""
        if self.kind == "pin":
            return values[self.name]
        if self.kind == "constant":
            return np.full_like(next(iter(values.values())), self.name == "1")
        parts = [operand.of(values) for operand in self.operands]
        if self.kind == "not":
            return ~parts[0]
        operation = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}[self.kind]
        return np.asarray(operation.reduce(parts), np.bool_)


def read(text: str) -> Function:
    """Return the function of a Liberty text. Raises UserError for a text that is none."""
    tokens, at = [], 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise UserError(f"{text!r} is no Boolean function of Liberty")
        tokens.append(found.group(1))
        at = found.end()
    try:
        function, rest = _chain(tokens, 0)
    except IndexError:
        rest = -1
    if rest != len(tokens):
        raise UserError(f"{text!r} is no Boolean function of Liberty")
    return function


_LEVELS = (("or", "+|"), ("and", "*&"), ("xor", "^"))


def _chain(tokens: list[str], at: int, level: int = 0) -> tuple[Function, int]:
    """Return the function of one level of precedence that starts at a token, and the token behind it."""
    if level == len(_LEVELS):
        return _operand(tokens, at)
    kind, signs = _LEVELS[level]
    first, at = _chain(tokens, at, level + 1)
    operands = [first]
    while at < len(tokens):
        if tokens[at] in signs:
            at += 1
        elif kind != "and" or tokens[at] in "+|^)":
            break
        following, at = _chain(tokens, at, level + 1)
        operands.append(following)
    return (first if len(operands) == 1 else Function(kind, operands=tuple(operands))), at


def _operand(tokens: list[str], at: int) -> tuple[Function, int]:
    """Return a pin, a constant, a function in parentheses or an inversion."""
    token = tokens[at]
    if token == "!":
        inner, at = _operand(tokens, at + 1)
        return Function("not", operands=(inner,)), at
    if token == "(":
        found, at = _chain(tokens, at + 1)
        if tokens[at] != ")":
            raise IndexError
    elif token in "01":
        found = Function("constant", token)
    elif token[0].isalpha() or token[0] == "_":
        found = Function("pin", token)
    else:
        raise IndexError
    at += 1
    while at < len(tokens) and tokens[at] == "'":
        found, at = Function("not", operands=(found,)), at + 1
    return found, at
