"""A streaming unit as a compiled model: the Verilog itself, driven from numpy arrays."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError
from synth import yowasp
from synth.compiled.build import Engine, library
from synth.compiled.chip import Chip
from synth.compiled.harness import Harness
from synth.registry import unit as find_unit
from synth.verilog import elaborate

Integers = NDArray[np.int32]


def _fits(text: str, harness: Harness) -> None:
    """Refuse (UserError) Verilog that has other ports than the unit of this configuration."""
    with tempfile.TemporaryDirectory(prefix="nmpu-model-") as scratch:
        folder = Path(scratch)
        (folder / "design.v").write_text(text + harness.verilog)
        try:
            log = yowasp.run(f"read_verilog design.v\nhierarchy -check -top {harness.TOP}\n", folder)
        except RuntimeError as error:
            why = next((line for line in str(error).splitlines() if "ERROR" in line), "Yosys refuses it")
            raise UserError(f"the given Verilog is no {harness.unit} of this configuration: {why}") from error
    resized = next((line for line in log.splitlines() if "Resizing cell port" in line), None)
    if resized is not None:
        raise UserError(
            f"the given Verilog was built for another configuration of {harness.unit}: {resized.split('Warning: ')[-1]}"
        )


class CompiledUnit(Chip):
    """A unit of the registry, compiled from its Verilog.

    Parameters: the unit's name and configuration; `engine`; `text`, other Verilog with the same ports (a fault planted
    in it, a netlist). Values are integers as the ports carry them, binary16 as its bits. An instance holds one chip:
    parameters, flags and `cycles` stay from call to call. Two instances run in two threads side by side.

    `stalls` = (source, sink): the share of cycles, of 256, in which the one offers no word and the other takes none.
    """

    def __init__(
        self, unit: str, config: Any, *, engine: Engine = Engine.CXXRTL, text: str | None = None, seed: int = 0
    ) -> None:
        if find_unit(unit).hosted is None:  # not of the frame that the driver knows
            raise UserError(f"{unit} takes no stream of this kind: CompiledArray drives it")
        own = elaborate(unit, config)
        harness = Harness(unit, config)
        if text is not None:
            _fits(text, harness)
        text = own if text is None else text
        self.config, self.seed = config, seed
        self.units, self.columns = config.units, config.units * config.columns
        self.inputs, self.outputs, self.parameters, self.registers = (
            {field.name: field for field in harness.fields[kind]} for kind in ("i", "o", "write", "layer")
        )
        constants = {"MASK_BITS": len(self.parameters), "FLAG_BITS": self.columns}
        if engine is Engine.VERILATOR:  # it slices wide words at no price, and many ports cost it more
            top, own_ports, moves = unit, tuple(port.name for port in harness.inner), harness.packing
        else:
            text, top, own_ports, moves = text + harness.verilog, harness.TOP, harness.ports, harness.moves
        super().__init__(library(text, top, "driver", own_ports, constants, engine, lanes=self.units, moves=moves))

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write the parameters of every column, one column a cycle; clears the flags."""
        _values, table = self._table(self.parameters, columns, (self.columns,))
        if self._library.unit_write(self._handle, ctypes.c_size_t(self.columns), table):
            raise RuntimeError("the unit never became idle: parameters could not be written")

    def layer(self, registers: Mapping[str, int]) -> None:
        """Write the layer registers; clears the flags."""
        _values, table = self._table(self.registers, registers, (1,))
        self._library.unit_layer(self._handle, table)

    def stream(self, words: Mapping[str, Any], *, stalls: tuple[int, int] = (0, 0)) -> dict[str, Integers]:
        """Send words, (words, units) arrays by field; return what comes out, the same way. Missing fields carry 0."""
        count = len(next(iter(words.values())))
        _values, table = self._table(self.inputs, words, (count, self.units))
        results = {name: np.empty((count, self.units), np.int32) for name in self.outputs}
        _kept, out = self._table(self.outputs, results, (count, self.units))
        self.seed += 1
        failed = self._library.unit_stream(
            self._handle, ctypes.c_size_t(count), table, out, *map(ctypes.c_uint32, (*stalls, self.seed))
        )
        if failed:
            raise RuntimeError("the unit stood still" if failed == 1 else "one evaluation a cycle does not settle it")
        return results

    def flags(self) -> NDArray[np.bool_]:
        """Return the sticky saturation flags, one a column."""
        bits = np.zeros(-(-self.columns // 32) + 1, np.uint32)
        self._library.unit_flags(self._handle, ctypes.c_void_p(bits.ctypes.data))
        return np.unpackbits(bits.view(np.uint8), bitorder="little")[: self.columns].astype(bool)

    def _table(
        self, fields: Iterable[str], values: Mapping[str, Any], shape: tuple[int, ...]
    ) -> tuple[list[Integers], Any]:
        """Return arrays as the model takes them, and the table of where they are."""
        held = []
        for name in fields:
            value = np.asarray(values.get(name, 0))
            if value.dtype != np.int32 and value.size and (value.min() < -(1 << 31) or value.max() >= 1 << 32):
                raise ValueError(f"{name} does not fit 32 bits")
            held.append(np.ascontiguousarray(np.broadcast_to(value, shape).astype(np.int32, copy=False)))
        return held, (ctypes.c_void_p * max(len(held), 1))(*(value.ctypes.data for value in held))
