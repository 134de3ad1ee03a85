"""The bits of the NMPU's ports: fields, widths, and whole words packed and unpacked with numpy.

This is the port contract as the bench understands it, derived from the configuration alone: the component's own
signature is not asked, so that a wrong width there is found and not copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from golden_model.vectors import Integers, Mode


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


def input_lane(config: NmpuConfig) -> Struct:
    """Return the fields of one lane of the input stream."""
    fields = [Field("first", config.input_bits, config.input is Input.CODE)]
    if config.input is Input.COUNTS:
        fields.append(Field("second", config.input_bits))
    if config.partial_sum:
        fields.append(Field("received", config.sum_range.signed_bits, True))
    if config.residual:
        fields.append(Field("residual", config.residual_input.bits, config.residual_input.signed))
    return Struct(tuple(fields))


def output_lane(config: NmpuConfig) -> Struct:
    """Return the fields of one lane of the output stream."""
    fields = [Field("code", config.output.bits, config.output.signed)]
    if config.partial_sum:
        fields.append(Field("sum", config.sum_range.signed_bits, True))
    return Struct(tuple(fields))


def column_parameters(config: NmpuConfig) -> Struct:
    """Return the fields of the parameter write port."""
    ranges = Columns.ranges(config)
    return Struct(tuple(Field.holding(name, held) for name, held in ranges.items() if held != Range(0, 0)))


def layer_parameters(config: NmpuConfig) -> Struct:
    """Return the fields of the layer write port."""
    present: Sequence[tuple[str, int, bool]] = (
        ("shift", Range(0, config.max_layer_shift).unsigned_bits, config.max_layer_shift > 0),
        ("relu_before", 1, config.relu and config.residual),
        ("relu_after", 1, config.relu),
        ("receive", 1, config.partial_sum),
        ("add_residual", 1, config.residual),
        ("last", 1, config.partial_sum),
    )
    return Struct(tuple(Field(name, bits) for name, bits, there in present if there))


def layer_values(mode: Mode) -> dict[str, int]:
    """Return every layer register of a mode, by field name."""
    return {
        "shift": mode.layer.shift,
        "relu_before": int(mode.layer.relu_before),
        "relu_after": int(mode.layer.relu_after),
        "receive": int(mode.receive),
        "add_residual": int(mode.add_residual),
        "last": int(mode.last),
    }


def lanes(config: NmpuConfig, values: Integers) -> Integers:
    """Return (vectors, units * columns) as (words, units): word t of a vector carries columns t * units + u."""
    return values.reshape(-1, config.units)
