"""The hands of the bench: one driver or monitor a port. A call belongs to one clock cycle; the testbench counts them.

Values are read at the rising edge, before the edge changes them, and written behind it. A signal is written only when
it changes: a write through the simulator's interface costs more than the comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from cocotb_tests.ports import Ports, Struct

Handle: TypeAlias = Any
"""A simulator object; cocotb types it by what the simulator finds there."""


def junk(rng: np.random.Generator, bits: int) -> int:
    """Return random bits."""
    return int.from_bytes(rng.bytes(bits // 8 + 1), "little") & ((1 << bits) - 1)


class Driver:
    """Offers words on the input stream. A word that was offered stays until it is taken; idle cycles carry junk."""

    def __init__(self, dut: Handle, ports: Ports, rng: np.random.Generator) -> None:
        self._payload, self._valid, self._ready = dut.i__payload, dut.i__valid, dut.i__ready
        self._bits = ports.input.bits * ports.units
        self._rng = rng
        self._offering = False
        self._valid.value = 0
        self._payload.value = 0

    def offer(self, word: int) -> None:
        """Put a word on the port."""
        self._payload.value = word
        if not self._offering:
            self._valid.value = 1
            self._offering = True

    def rest(self) -> None:
        """Take the port back; the payload turns into junk."""
        if self._offering:
            self._valid.value = 0
            self._payload.value = junk(self._rng, self._bits)
            self._offering = False

    @property
    def ready(self) -> str:
        """Return the unit's ready."""
        return str(self._ready.value)


class Monitor:
    """Watches the output stream, the flags and `idle`, and decides when words are taken."""

    def __init__(self, dut: Handle, ports: Ports) -> None:
        self._payload, self._valid, self._ready = dut.o__payload, dut.o__valid, dut.o__ready
        self._flags, self._idle = dut.flags, dut.idle
        self._totals: Handle | None = dut.activity if ports.collected else None
        self.taking = False
        self._ready.value = 0

    def take(self, ready: bool) -> None:
        """Set the ready of the output stream."""
        if ready is not self.taking:
            self._ready.value = int(ready)
            self.taking = ready

    @property
    def valid(self) -> str:
        """Return the unit's valid."""
        return str(self._valid.value)

    @property
    def payload(self) -> str:
        """Return the word at the port, binary digits."""
        return str(self._payload.value)

    @property
    def flags(self) -> str:
        """Return the flags, binary digits, column 0 last."""
        return str(self._flags.value)

    @property
    def totals(self) -> str:
        """Return the activity counters, binary digits; an empty text where there are none."""
        return "" if self._totals is None else str(self._totals.value)

    @property
    def idle(self) -> str:
        """Return whether the unit says that parameters may be written."""
        return str(self._idle.value)


class Loader:
    """Writes parameters: for one cycle a column, the layer registers, or both; junk stands on the ports otherwise."""

    def __init__(self, dut: Handle, ports: Ports, rng: np.random.Generator) -> None:
        self.columns: Struct = ports.parameters
        self.layer: Struct = ports.layer
        self._count = ports.entries
        self._rng = rng
        self._enable, self._column = dut.write__en, getattr(dut, f"write__{ports.address}")
        self._mask, self._data = dut.write__mask, dut.write__data
        self._layer_enable = dut.layer__en
        self._layer_data: Handle | None = dut.layer__data if self.layer.fields else None
        self.rest()

    def column(self, column: int, mask: int, data: int) -> None:
        """Put a column write on the port."""
        self._enable.value = 1
        self._column.value = column
        self._mask.value = mask
        self._data.value = data

    def layer_registers(self, codes: Mapping[str, int]) -> None:
        """Put a layer write on the port."""
        self._layer_enable.value = 1
        if self._layer_data is not None:
            self._layer_data.value = self.layer.one(codes)

    def rest(self) -> None:
        """Write nothing; what stands on the ports is junk."""
        column, mask = int(self._rng.integers(self._count)), junk(self._rng, len(self.columns.fields))
        self.column(column, mask, junk(self._rng, self.columns.bits))
        self.layer_registers({field.name: junk(self._rng, field.bits) for field in self.layer.fields})
        self._enable.value = 0
        self._layer_enable.value = 0
