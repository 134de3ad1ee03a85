"""A streaming unit as a compiled model: the Verilog itself, driven from numpy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from numpy.typing import NDArray

from synth.compiled.build import Engine, library
from synth.registry import unit as find_unit
from synth.tables import ports
from synth.verilog import elaborate

Integers = NDArray[np.int32]


class _Field(ctypes.Structure):
    _fields_ = (("values", ctypes.c_void_p), ("bits", ctypes.c_uint32), ("sign", ctypes.c_uint32))


Fields = dict[str, tuple[int, bool]]
"""By name: width, and whether it is two's complement."""


def _fields(layout: Any) -> Fields:
    """Return the fields of a struct, lowest bits first."""
    shapes = {name: Shape.cast(field.shape) for name, field in layout}
    return {name: (of.width, of.signed) for name, of in shapes.items()}


class CompiledUnit:
    """A unit of the registry, compiled from its Verilog.

    Parameters: the unit's name and configuration; `engine`; `text`, other Verilog with the same ports (a fault planted
    in it, a netlist). Values are integers as the ports carry them, binary16 as its bits. An instance holds one chip:
    parameters, flags and `cycles` stay from call to call. Two instances run in two threads side by side.

    `stalls` = (source, sink): the share of cycles, of 256, in which the one offers no word and the other takes none.
    """

    def __init__(
        self, unit: str, config: Any, *, engine: Engine = Engine.CXXRTL, text: str | None = None, seed: int = 0
    ) -> None:
        found = find_unit(unit)
        text = elaborate(unit, config) if text is None else text
        self.config, self.seed = config, seed
        members = found.members(config)
        lane = {name: members[name].signature.members["payload"].shape for name in ("i", "o")}
        self.inputs, self.outputs = (_fields(lane[name].elem_shape) for name in ("i", "o"))
        self.parameters = _fields(members["write"].signature.members["data"].shape)
        layer = members["layer"].signature.members
        self.registers: Fields = _fields(layer["data"].shape) if "data" in layer else {}
        self.units, self.columns = config.units, config.units * config.columns
        widths = {port.name: port.width for port in ports(found, config)}
        constants = {
            "UNITS": self.units,
            "IN_BITS": widths["i__payload"],
            "OUT_BITS": widths["o__payload"],
            "WRITE_BITS": widths["write__data"],
            "MASK_BITS": widths["write__mask"],
            "LAYER_BITS": widths.get("layer__data", 0),
            "FLAG_BITS": widths["flags"],
        }
        self._library = library(text, unit, "driver", tuple(widths), constants, engine)
        self._library.unit_new.restype = ctypes.c_void_p
        self._library.unit_cycles.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._library.unit_new())

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self._library.unit_delete(self._handle)

    @property
    def cycles(self) -> int:
        """Return the clock cycles so far."""
        return int(self._library.unit_cycles(self._handle))

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write the parameters of every column, one column a cycle; clears the flags."""
        values, table = self._table(self.parameters, columns, (self.columns,))
        if self._library.unit_write(self._handle, ctypes.c_size_t(self.columns), table, ctypes.c_size_t(len(values))):
            raise RuntimeError("the unit never became idle: parameters could not be written")

    def layer(self, registers: Mapping[str, int]) -> None:
        """Write the layer registers; clears the flags."""
        values, table = self._table(self.registers, registers, (1,))
        self._library.unit_layer(self._handle, table, ctypes.c_size_t(len(values)))

    def stream(self, words: Mapping[str, Any], *, stalls: tuple[int, int] = (0, 0)) -> dict[str, Integers]:
        """Send words, (words, units) arrays by field; return what comes out, the same way. Missing fields carry 0."""
        count = len(next(iter(words.values())))
        values, table = self._table(self.inputs, words, (count, self.units))
        results = {name: np.empty((count, self.units), np.int32) for name in self.outputs}
        kept, out = self._table(self.outputs, results, (count, self.units))
        self.seed += 1
        sizes = (ctypes.c_size_t(count), ctypes.c_size_t(len(values)), ctypes.c_size_t(len(kept)))
        failed = self._library.unit_stream(
            self._handle, sizes[0], table, sizes[1], out, sizes[2], *map(ctypes.c_uint32, (*stalls, self.seed))
        )
        if failed:
            raise RuntimeError("the unit stood still" if failed == 1 else "one evaluation a cycle does not settle it")
        return results

    def flags(self) -> NDArray[np.bool_]:
        """Return the sticky saturation flags, one a column."""
        bits = np.zeros(-(-self.columns // 32) + 1, np.uint32)
        self._library.unit_flags(self._handle, ctypes.c_void_p(bits.ctypes.data))
        return np.unpackbits(bits.view(np.uint8), bitorder="little")[: self.columns].astype(bool)

    def _table(self, fields: Fields, values: Mapping[str, Any], shape: tuple[int, ...]) -> tuple[list[Integers], Any]:
        """Return arrays as the model takes them, and the table of where they are."""
        held = []
        for name in fields:
            value = np.asarray(values.get(name, 0))
            if value.dtype != np.int32 and value.size and (value.min() < -(1 << 31) or value.max() >= 1 << 32):
                raise ValueError(f"{name} does not fit 32 bits")
            held.append(np.ascontiguousarray(np.broadcast_to(value, shape).astype(np.int32, copy=False)))
        rows = zip(held, fields.values(), strict=True)
        table = (_Field * max(len(held), 1))(*(_Field(v.ctypes.data, bits, sign) for v, (bits, sign) in rows))
        return held, table
