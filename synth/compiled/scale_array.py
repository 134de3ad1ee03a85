"""A scale-factor array as a compiled model: the Verilog itself, driven from numpy arrays."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError
from golden_model.scale_array.config import ScaleArrayConfig
from golden_model.scale_array.image import to_rows
from golden_model.scale_array.model import Activity, read_out
from synth.compiled.build import Engine, library
from synth.compiled.chip import Chip
from synth.registry import unit as find_unit
from synth.tables import ports
from synth.verilog import elaborate

Pieces = NDArray[np.uint32]


def _packed(values: NDArray[np.int64], bits: int) -> Pieces:
    """Return rows of lanes (rows, lanes) as 32-bit pieces (rows, pieces), lane 0 lowest."""
    digits = (values[..., None] >> np.arange(bits) & 1).astype(np.uint8).reshape(len(values), -1)
    packed = np.packbits(digits, axis=1, bitorder="little")
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4)))
    return np.ascontiguousarray(padded).view("<u4").astype(np.uint32)


def _unpacked(pieces: Pieces, bits: int, lanes: int) -> NDArray[np.int64]:
    """Return the lanes, unsigned, of rows of 32-bit pieces."""
    digits = np.unpackbits(pieces.astype("<u4").view(np.uint8), axis=1, bitorder="little")[:, : bits * lanes]
    return np.asarray((digits.reshape(len(pieces), lanes, bits).astype(np.int64) << np.arange(bits)).sum(-1))


class State(NamedTuple):
    """What an array shows beside its sums."""

    flags: NDArray[np.bool_]
    """One a column."""
    activity: Activity
    """The counters, modulo 2^counter_bits."""


class CompiledArray(Chip):
    """A scale-factor array, compiled from its Verilog.

    Parameters: configuration; `engine`; `text`, other Verilog with the same ports (a fault planted in it, a netlist).
    An instance holds one array: scales, flags, counters and `cycles` stay from call to call. Two instances run in two
    threads side by side. `stalls` = (source, sink): the share of cycles, of 256, in which the one offers no word and
    the other takes none.
    """

    def __init__(
        self, config: ScaleArrayConfig, *, engine: Engine = Engine.CXXRTL, text: str | None = None, seed: int = 0
    ) -> None:
        self.config, self.seed = config, seed
        constants = {
            "MASK_BITS": config.words,
            "ROW_BITS": config.columns,
            "ROWS": config.scale_rows,
            "CODE_BITS": 2 * config.columns,
            "FLAG_BITS": config.columns,
            "ACTIVITY_BITS": 4 * config.counter_bits,
        }
        name = "scale_array"
        names = tuple(port.name for port in ports(find_unit(name), config))
        text = elaborate(name, config) if text is None else text
        super().__init__(library(text, name, name, names, constants, engine))

    def load(self, scales: NDArray[np.int64], *, binary_mode: bool = False) -> None:
        """Write scales (streams, columns) and the mode, which clears flags and counters; refuses what cannot be."""
        rows = _packed(to_rows(self.config, scales), self.config.scale_bits)
        self._library.unit_load(self._handle, _at(rows), ctypes.c_uint32(binary_mode))

    def stream(self, codes: NDArray[np.int64], *, stalls: tuple[int, int] = (0, 0)) -> NDArray[np.int64]:
        """Send codes (arrays, streams, columns); return the sums (arrays, columns)."""
        config = self.config
        if codes.ndim != 3 or codes.shape[1:] != (config.streams, config.columns):
            raise UserError(
                f"codes have shape {codes.shape}: this array takes (arrays, {config.streams}, {config.columns})"
            )
        words = _packed(np.asarray(codes, np.int64).reshape(-1, config.columns), 2)
        results = np.empty((len(codes) * config.slots, -(-config.columns // 32)), np.uint32)
        self.seed += 1
        failed = self._library.unit_stream(
            self._handle,
            ctypes.c_size_t(len(words)),
            _at(words),
            ctypes.c_size_t(len(results)),
            _at(results),
            *map(ctypes.c_uint32, (*stalls, self.seed)),
        )
        if failed:
            raise RuntimeError(
                "one evaluation a cycle does not settle it" if failed == 2 else "the array stood still or said too much"
            )
        raw = _unpacked(results, config.sum_bits, config.lanes).reshape(len(codes), -1)
        sums = np.empty((len(codes), config.columns), np.int64)
        half = 1 << (config.sum_bits - 1)
        sums[:, read_out(config).ravel()] = (raw ^ half) - half
        return sums

    def state(self) -> State:
        """Return flags and counters."""
        config = self.config
        flags = np.zeros((1, -(-config.columns // 32)), np.uint32)
        counts = np.zeros((1, -(-4 * config.counter_bits // 32)), np.uint32)
        self._library.unit_state(self._handle, _at(flags), _at(counts))
        numbers = _unpacked(counts, config.counter_bits, 4)[0].tolist()
        return State(
            _unpacked(flags, 1, config.columns)[0].astype(bool),
            Activity(**dict(zip(("operations", "reads", "computes", "stores"), numbers, strict=True))),
        )


def _at(pieces: Pieces) -> ctypes.c_void_p:
    return ctypes.c_void_p(pieces.ctypes.data)
