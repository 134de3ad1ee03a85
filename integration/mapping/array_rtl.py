"""The scale-factor arrays of a network as compiled Verilog: every column's codes go in, every sum is compared.

The codes p come from the reference path, a convolution a bit plane, and not from the bit-plane kernels; the sums that
leave the hardware are compared with the golden model's, and their total with what the kernels made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from golden_model.scale_array.combine import combine
from golden_model.scale_array.config import ScaleArrayConfig
from golden_model.scale_array.model import Activity, activity, encode, scale_array
from integration.mapping.sliced import Work, rows_of
from synth.compiled import Engine
from synth.compiled.scale_array import CompiledArray

STALLS = (24, 24)
"""Cycles of 256 in which the source offers no word, and the sink takes none."""


class Load(NamedTuple):
    """One array of one layer: a row tile and a block of physical columns."""

    layer: str
    tile: int
    first: int
    """First physical column."""
    used: int
    """Columns in use; the others hold scales of 0 and see p = 0."""
    scales: NDArray[np.int64]
    """(streams, columns)."""
    p: NDArray[np.int64]
    """(arrays, streams, columns): a matrix-vector product each."""


def loads(work: Work, config: ScaleArrayConfig) -> Iterator[Load]:
    """Yield what every array of a layer is loaded with and sees, for one batch."""
    arrays = work.arrays
    binary = not arrays.sliced.tile.readout.ternary
    for tile in range(arrays.sliced.tiles):
        p = arrays.sliced.read(work.codes, arrays.readout, tile)  # (images, streams, physical columns, height, width)
        seen = p.permute(0, 3, 4, 1, 2).reshape(-1, *p.shape[1:3]).numpy().astype(np.int64)
        for first in range(0, arrays.sliced.physical, config.columns):
            used = min(config.columns, arrays.sliced.physical - first)
            block = slice(first, first + used)
            pad = ((0, 0), (0, config.columns - used))
            idle = 1 if binary else 0  # a binary read-out has no 0
            own = np.pad(seen[..., block], ((0, 0), *pad), constant_values=idle)
            yield Load(arrays.name, tile, first, used, np.pad(arrays.scales[tile, :, block], pad), own)


@dataclass(slots=True)
class ArrayBench:
    """One compiled array, through which a network's layers pass one after another; counts what was compared."""

    config: ScaleArrayConfig
    binary: bool = False
    engine: Engine = Engine.CXXRTL
    text: str | None = None
    """Other Verilog with the same ports."""
    sums: int = 0
    """Partial sums out of the Verilog."""
    wrong: int = 0
    """Sums that differ from the golden model's."""
    totals: int = 0
    """Totals of channels that differ from what the network went on with."""
    flags: int = 0
    """Flags that differ."""
    miscounted: int = 0
    """Arrays whose activity counters differ from the golden model's."""
    cycles: int = 0
    work: Activity = field(default_factory=lambda: Activity(operations=0, reads=0, computes=0, stores=0))
    _chip: CompiledArray | None = None

    def take(self, work: Work) -> None:
        """Run one layer's work through the hardware: the hook of `SlicedNetwork.run`."""
        if self._chip is None:
            self._chip = CompiledArray(self.config, engine=self.engine, text=self.text)
        chip, sliced = self._chip, work.arrays.sliced
        made = np.zeros((sliced.tiles, work.totals[:, 0].numel(), sliced.physical), np.int64)
        for load in loads(work, self.config):
            before = chip.cycles
            chip.load(load.scales, binary_mode=self.binary)
            codes = encode(load.p)
            sums = chip.stream(codes, stalls=STALLS)
            self.cycles += chip.cycles - before
            expected = scale_array(self.config, load.scales, codes, binary_mode=self.binary)
            self.sums += sums.size
            self.wrong += int((sums != expected.values).sum())
            state, counted = chip.state(), activity(self.config, load.p)
            self.flags += int((state.flags != expected.flagged.any(0)).sum())
            modulus = 1 << self.config.counter_bits
            self.miscounted += any(
                getattr(state.activity, name) != getattr(counted, name) % modulus for name in Activity.__slots__
            )
            self.work = self.work + counted
            made[load.tile, :, load.first : load.first + load.used] = sums[:, : load.used]
        by_slice = made.reshape(*made.shape[:2], -1, sliced.channels).transpose(1, 0, 2, 3)
        found = torch.from_numpy(combine(by_slice))
        self.totals += int((found != rows_of(work.totals).long()).sum())
