"""Bit-sliced arrays: weights as sign-magnitude bits in cells of one bit, inputs a bit at a time (HCiM, and its peers).

A weight of b bits has the magnitude's b - 1 bits in as many physical columns, each a cell pair that holds -1, 0 or +1:
the positive cells minus the negative ones. Slice k of channel c is physical column k * channels + c. Rows are ordered
by kernel position, then channel, and cut into tiles of at most `rows` rows, between positions where that takes no more.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from golden_model.errors import UserError
from golden_model.scale_array.config import HCIM_A, ScaleArrayConfig
from sim import bit_planes
from sim.array import Geometry
from sim.bit_planes import Packed, Readout
from sim.encode import BitSerial
from sim.readout import Comparator


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedCrossbar:
    """An SRAM crossbar of 1-bit cells, differential: every physical column is a positive and a negative line."""

    rows: int = 128
    """Inputs of one array, 1 to 256."""
    weight_bits: int = 4
    """Bits of a weight, sign included: -(2^(b-1) - 1) .. 2^(b-1) - 1, in b - 1 slices."""

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= 256:
            raise UserError(f"rows = {self.rows}: 1 to 256")
        if not 2 <= self.weight_bits <= 8:
            raise UserError(f"weight_bits = {self.weight_bits}: 2 to 8, the sign included")

    @property
    def slices(self) -> int:
        """Return the physical columns of a channel."""
        return self.weight_bits - 1

    @property
    def largest(self) -> int:
        """Return the largest magnitude of a weight."""
        return (1 << self.slices) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedTile:
    """A bit-serial chain: encode -> 1-bit cells -> comparators -> digital scale-factor array; a preset is one."""

    name: str
    """What the preset is called."""
    encode: BitSerial = field(default_factory=BitSerial)
    """What an input line carries."""
    array: SlicedCrossbar = field(default_factory=SlicedCrossbar)
    """Cells and rows."""
    readout: Comparator = field(default_factory=Comparator)
    """What stands behind a column."""
    scales: ScaleArrayConfig = HCIM_A
    """The array of scale factors below the crossbar; its columns are the crossbar's."""

    def __post_init__(self) -> None:
        if self.scales.streams != self.encode.bits:
            raise UserError(
                f"{self.name}: scales.streams = {self.scales.streams} and encode.bits = {self.encode.bits}; "
                "the array takes one stream an input bit"
            )


def row_edges(channels: int, positions: int, rows: int) -> list[int]:
    """Return the flat rows at which tiles begin, and the end: the fewest tiles of at most `rows`, most equal.

    16 channels of 3 x 3 at 128 rows: 64 + 80; 32: 3 x 96; 64: 64 + 4 x 128.
    """
    total = channels * positions
    tiles = -(-total // rows)
    if -(-positions // tiles) * channels <= rows:
        return [channels * (positions * n // tiles) for n in range(tiles + 1)]
    return [total * n // tiles for n in range(tiles + 1)]


@dataclass(frozen=True, eq=False)  # no slots: it caches
class SlicedLayer:
    """One layer's integer weights on bit-sliced tiles."""

    weights: NDArray[np.int64]
    """(channels, inputs, kernel height, kernel width)."""
    geometry: Geometry
    tile: SlicedTile

    def __post_init__(self) -> None:
        largest, top = int(np.abs(self.weights).max(initial=0)), self.tile.array.largest
        if largest > top:
            raise UserError(f"weights reach {largest}: {self.tile.array.weight_bits} bits hold -{top} .. {top}")

    @property
    def channels(self) -> int:
        """Return the output channels."""
        return len(self.weights)

    @property
    def physical(self) -> int:
        """Return the physical columns: slices times channels."""
        return self.channels * self.tile.array.slices

    @functools.cached_property
    def edges(self) -> list[int]:
        """Return where the row tiles begin, and the end."""
        height, width = self.geometry.kernel
        return row_edges(self.weights.shape[1], height * width, self.tile.array.rows)

    @property
    def tiles(self) -> int:
        """Return the row tiles."""
        return len(self.edges) - 1

    def rows(self) -> NDArray[np.int64]:
        """Return the cells, (rows, physical columns): -1, 0, +1."""
        flat = self.weights.transpose(2, 3, 1, 0).reshape(-1, self.channels)
        slices = (np.abs(flat)[:, None] >> np.arange(self.tile.array.slices)[:, None]) & 1
        return np.asarray((np.sign(flat)[:, None] * slices).reshape(len(flat), -1), np.int64)

    def packed(self, height: int, width: int) -> Packed:
        """Return what the bit-plane kernels take for images of this size."""
        g = self.geometry
        inputs = self.weights.shape[1]
        runs = [
            (y * g.dilation[0], x * g.dilation[1], 0, inputs)
            for y, x in itertools.product(range(g.kernel[0]), range(g.kernel[1]))
        ]
        table, starts = bit_planes.moves(runs, self.edges)
        cells = self.rows()
        lines = [bit_planes.pack_rows(sign * cells > 0, self.edges) for sign in (1, -1)]
        size = g.output_size(height, width)
        return Packed(table, starts, lines[0], lines[1], g.stride, g.padding, size, self.channels)

    def partial_sums(self, codes: Tensor, tile: int) -> Tensor:
        """Return one tile's column sums for every input bit, (images, bits, physical columns, height, width).

        Plain torch: the kernels' reference, and the path of other devices. Exact: a sum has at most 256 terms.
        """
        g, bits = self.geometry, self.tile.encode.bits
        cells = torch.from_numpy(self.rows()).to(codes.device, torch.float32)
        own = torch.zeros_like(cells)
        own[self.edges[tile] : self.edges[tile + 1]] = cells[self.edges[tile] : self.edges[tile + 1]]
        kernel = own.view(*g.kernel, self.weights.shape[1], -1).permute(3, 2, 0, 1)
        planes = (codes.int()[:, None] >> torch.arange(bits, device=codes.device).view(-1, 1, 1, 1)) & 1
        sums = F.conv2d(planes.flatten(0, 1).float(), kernel, None, g.stride, g.padding, g.dilation)
        return sums.view(len(codes), bits, *sums.shape[1:])

    def slice_weights(self) -> NDArray[np.float32]:
        """Return 2^k of every physical column."""
        return np.repeat(2.0 ** np.arange(self.tile.array.slices), self.channels).astype(np.float32)

    def sums(self, codes: Tensor, packed: Packed, readout: Readout) -> Tensor:
        """Return comparators' sums (images, channels, height, width) for codes uint8; same bits on any device."""
        if codes.device.type == "cpu":
            return bit_planes.forward(codes, packed, readout, bit_planes.ternary)
        total: Tensor | None = None
        for tile in range(self.tiles):
            p = self.read(codes, readout, tile)
            own = (p * torch.from_numpy(readout.weight[tile]).to(p.device)[..., None, None]).sum(1)
            total = own if total is None else total + own
        assert total is not None
        return self._channels(total)

    def slopes(
        self,
        codes: Tensor,
        packed: Packed,
        readout: Readout,
        window: NDArray[np.float32],
        part: NDArray[np.float32],
        gradient: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return gradients as `bit_planes.backward` does, whatever the device."""
        if codes.device.type == "cpu":
            return bit_planes.backward(codes, packed, readout, window, part, gradient)
        slopes, share = [], torch.zeros(())
        weights = torch.from_numpy(part).to(codes.device)[..., None, None]
        spread = gradient.repeat(1, self.tile.array.slices, 1, 1)[:, None]
        for tile in range(self.tiles):
            sums = self.partial_sums(codes, tile)
            slopes.append((_compare(sums, readout, tile) * spread).sum((0, 3, 4)))
            inside = sums.abs() <= torch.from_numpy(window[tile]).to(codes.device)[..., None, None]
            share = share.to(codes.device) + (inside * weights).sum(1)
        return torch.stack(slopes), gradient * self._channels(share)

    def read(self, codes: Tensor, readout: Readout, tile: int) -> Tensor:
        """Return one tile's p for every input bit, float32 (images, bits, physical columns, height, width)."""
        return _compare(self.partial_sums(codes, tile), readout, tile)

    def census(self, codes: Tensor, packed: Packed, readout: Readout) -> tuple[Tensor, Tensor]:
        """Return how many p are +1 and -1, int64 (tiles, bits, physical columns), over images and pixels.

        Exact for up to 2^24 pixels a part of the batch: they are the kernels' slopes under a gradient of 1.
        """
        height, width = packed.size
        one = torch.ones(len(codes), self.channels, height, width, device=codes.device)
        never = np.full_like(readout.b, -np.inf)
        window, part = np.zeros_like(readout.weight), np.zeros(readout.weight.shape[1:], np.float32)
        plus = self.slopes(codes, packed, readout._replace(b=never), window, part, one)[0]
        both = self.slopes(codes, packed, readout, window, part, one)[0]
        return plus.long(), (plus - both).long()

    def _channels(self, values: Tensor) -> Tensor:
        """Sum slices: (images, physical columns, ...) -> (images, channels, ...)."""
        return values.view(len(values), -1, self.channels, *values.shape[2:]).sum(1)


def _compare(sums: Tensor, readout: Readout, tile: int) -> Tensor:
    a, b = (torch.from_numpy(bound[tile]).to(sums.device)[:, None, None] for bound in (readout.a, readout.b))
    return (sums >= a).float() - (sums <= b).float()
