"""The bits of a unit's ports: fields, widths, and whole words packed and unpacked with numpy.

A unit's contract derives them from its configuration alone: the component's own signature is not asked, so that a wrong
width there is found and not copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from golden_model.fixed import Range

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a packed struct."""

    name: str
    """Name in the struct."""
    bits: int
    """Width."""
    signed: bool = False
    """Whether it is two's complement."""

    @staticmethod
    def holding(name: str, values: Range) -> Field:
        """Return the field that holds a range: two's complement where it has a negative end."""
        signed = values.lo < 0
        return Field(name, values.signed_bits if signed else values.unsigned_bits, signed)


@dataclass(frozen=True, slots=True)
class Struct:
    """A packed struct, first field in the least significant bits."""

    fields: tuple[Field, ...]

    @property
    def bits(self) -> int:
        """Return the width of one struct."""
        return sum(field.bits for field in self.fields)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the field names, least significant first."""
        return tuple(field.name for field in self.fields)

    def _bits(self, values: Mapping[str, Integers]) -> NDArray[np.uint8]:
        """Return the bits of arrays of structs, (rows, lanes) -> (rows, lanes * bits), least significant first."""
        parts = []
        for field in self.fields:
            bits = np.asarray(values[field.name], np.int64)[..., None] >> np.arange(field.bits)
            parts.append((bits & 1).astype(np.uint8))
        joined = np.concatenate(parts, axis=-1)
        return joined.reshape(joined.shape[0], -1)

    def pack(self, values: Mapping[str, Integers]) -> list[int]:
        """Return one integer a row of (rows, lanes) arrays, lane 0 in the least significant bits."""
        packed = np.packbits(self._bits(values), axis=1, bitorder="little")
        return [int.from_bytes(row.tobytes(), "little") for row in packed]

    def text(self, values: Mapping[str, Integers]) -> list[str]:
        """Return the same as the simulator prints it: binary digits, most significant first."""
        digits = self._bits(values)[:, ::-1] + np.uint8(ord("0"))
        return [row.tobytes().decode("ascii") for row in digits]

    def one(self, values: Mapping[str, int]) -> int:
        """Return one struct packed."""
        packed = low = 0
        for field in self.fields:
            packed |= (values[field.name] & ((1 << field.bits) - 1)) << low
            low += field.bits
        return packed

    def unpack(self, text: str) -> list[dict[str, int | str]]:
        """Return the lanes of a printed word, for messages; a field with an X or Z in it stays text."""
        lanes: list[dict[str, int | str]] = []
        for end in range(len(text), 0, -self.bits):
            lane: dict[str, int | str] = {}
            for field in self.fields:
                digits, end = text[end - field.bits : end], end - field.bits
                if set(digits) <= {"0", "1"}:
                    value = int(digits, 2)
                    lane[field.name] = value - (1 << field.bits) * (field.signed and digits[0] == "1")
                else:
                    lane[field.name] = digits
            lanes.append(lane)
        return lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What is different in a unit that takes all words of a vector, one lane a column, before any result leaves.

    An answer's fields then are arrays (vectors, words * units) of these; what is streamed, and which elements raise
    flags, stay (vectors, units * columns) of the ports. Parameters have one entry a row of the store.
    """

    interval: int
    """Cycles from one accepted word to the next, without back pressure."""
    units: int
    """Lanes of a word of results."""
    words: int
    """Words of results of a vector; they leave behind its last word, one a cycle."""
    owners: tuple[int, ...]
    """By row of the parameter store: the columns whose flags a write to it clears, bit c is column c."""
    totals: Struct
    """Fields of the port `activity`, counters that wrap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The port fields of one configuration of a unit with the ports of `hdl.frame`, or nearly those."""

    units: int
    """Lanes side by side."""
    columns: int
    """Columns that share one lane in time."""
    input: Struct
    """One lane of the input stream."""
    output: Struct
    """One lane of the output stream."""
    parameters: Struct
    """One column's parameters."""
    layer: Struct
    """The layer registers."""
    collected: Collected | None = None
    """None where each word has a result of its own, one a cycle, and the store has an entry a column."""

    @property
    def entries(self) -> int:
        """Return the entries of the parameter store: columns, or rows."""
        return len(self.collected.owners) if self.collected else self.count

    @property
    def address(self) -> str:
        """Return what the write port calls an entry."""
        return "row" if self.collected else "column"

    @property
    def flags(self) -> int:
        """Return the flags."""
        return self.units if self.collected else self.count

    @property
    def interval(self) -> int:
        """Return the cycles from one accepted word to the next, without back pressure."""
        return self.collected.interval if self.collected else 1

    @property
    def results(self) -> int:
        """Return the lanes of a word of results."""
        return self.collected.units if self.collected else self.units

    def cleared(self, entry: int) -> int:
        """Return the flags that a write to an entry clears."""
        return self.collected.owners[entry] if self.collected else 1 << entry

    @property
    def count(self) -> int:
        """Return the columns in all."""
        return self.units * self.columns

    def lanes(self, values: Integers) -> Integers:
        """Return (vectors, units * columns) as (words, units): word t of a vector carries columns t * units + u."""
        return values.reshape(-1, self.units)
