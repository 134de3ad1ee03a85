"""The analog tile: encode -> array -> wires -> read-out -> digital unit, one value of each stage.

A preset is a `Tile` value. `program` turns a layer's weights into conductances and converters of their own (a
`ProgrammedLayer`); `ProgrammedLayer.finish` runs a batch of codes through it and through a digital unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from golden_model.nmpu_config import Input, Layer
from sim import noise
from sim.array import Crossbar, Geometry, Tiles, split_rows
from sim.devices import Floats
from sim.digital import Digital, Parameters, Reading
from sim.encode import PulseWidth
from sim.int8 import LARGEST_CODE
from sim.kernels import any_rows, fuse
from sim.readout import CountingConverter
from sim.wires import IdealWires


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """The analog chain in front of the digital unit: a preset is one of these."""

    name: str
    """What the preset is called."""
    encode: PulseWidth = field(default_factory=PulseWidth)
    """What an input line carries."""
    array: Crossbar = field(default_factory=Crossbar)
    """Devices, size, noise and age of an array."""
    wires: IdealWires = field(default_factory=IdealWires)
    """What stands between cells and converters."""
    readout: CountingConverter = field(default_factory=CountingConverter)
    """The converters."""


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What follows the array for one layer and one unit: the static half of a fused kernel."""

    readout: CountingConverter
    unit: Digital
    layer: Layer
    logits: bool
    flags: bool
    """Whether saturations are returned beside the codes."""

    def __call__(
        self,
        currents: Sequence[Tensor],
        variances: Sequence[Tensor],
        converters: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]],
        row_keys: Tensor | None,
        table: Tensor,
        tiles: Sequence[Parameters],
        residual: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return codes or logits, (rows, columns), and where they saturated."""
        readings = read_out(self.readout, currents, variances, converters, row_keys, table)
        codes, saturated = self.unit.finish(tiles, self.layer, readings, residual, logits=self.logits)
        return codes, saturated if self.flags else None


def read_out(
    readout: CountingConverter,
    currents: Sequence[Tensor],
    variances: Sequence[Tensor],
    converters: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]],
    row_keys: Tensor | None,
    table: Tensor,
) -> list[Reading]:
    """Return what the converters make of each tile's currents, with read noise where variances are given.

    `converters`: a tile's gain and offset (lines,), noise gain (lines,) and column keys (columns,).
    """
    readings: list[Reading] = []
    for index, current in enumerate(currents):
        gain, offset, noise_gain, column_keys = converters[index]
        columns = column_keys.shape[0]
        deviates: tuple[Tensor | None, ...] = (None, None)
        if variances:
            assert row_keys is not None
            deviates = noise.normal_pair(row_keys, column_keys, table)
        counts = []
        for line in range(readout.lines):
            own = slice(line * columns, (line + 1) * columns)
            deviate = deviates[line]
            jitter = None if deviate is None else variances[index][:, own].sqrt() * noise_gain[own] * deviate
            counts.append(readout.convert(current[:, own], gain[own], offset[own], jitter))
        readings.append((counts[0], counts[1] if readout.lines == 2 else None))
    return readings


@dataclass(slots=True, kw_only=True)
class ProgrammedLayer:
    """One layer on its tiles: programmed devices, converters with their own spread, and what both need to run."""

    tile: Tile
    tiles: Tiles
    weight_step: Floats
    """Weight of one conductance step, (tiles, columns)."""
    relative_gain: Floats
    """Gain of each converter over the nominal one, (tiles, lines)."""
    count_offset: Floats
    """Offset of each converter, counts, (tiles, lines)."""
    variance_step: float
    """Squared conductance steps in one unit of `Tiles.variances`, times the 127 that squared codes are divided by."""
    noise_keys: tuple[int, ...]
    """A key a tile: the noise of (seed, layer, tile)."""
    full_scale: float = 0.0
    """Current at which a nominal converter reaches its largest count, conductance steps times input LSB."""
    converters: list[tuple[Tensor, Tensor, Tensor, Tensor]] = field(default_factory=list)
    """Gain, offset, noise gain and column keys of each tile, float32 (keys: int32)."""
    table: Tensor = field(default_factory=noise.normal_table)
    """The normal deviates."""

    @property
    def columns(self) -> int:
        """Return the number of output columns."""
        return int(self.weight_step.shape[1])

    def set_full_scale(self, current: float) -> None:
        """Fix the converters' range: `current` takes the nominal converter to its largest count."""
        self.full_scale = float(current)
        nominal = self.tile.readout.full_scale / self.full_scale
        self.converters = []
        for index, key in enumerate(self.noise_keys):
            gain = torch.from_numpy((self.relative_gain[index] * nominal).astype(np.float32))
            offset = torch.from_numpy(self.count_offset[index].astype(np.float32))
            spread = gain * np.float32(self.variance_step**0.5).item()
            keys = noise.mix(noise.column_keys(self.columns) ^ key)
            self.converters.append((gain, offset, spread, keys))

    def currents(self, x: Tensor, *, compiled: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tiles' currents and variances for input codes (see `Tiles.currents`)."""
        return self.tiles.currents(x, noise=self.tile.array.read_noise, compiled=compiled)

    def read(self, x: Tensor, row_keys: Tensor | None) -> list[Reading]:
        """Return the converters' read-outs of every tile, unfused: for calibration and inspection."""
        currents, variances = self.currents(x)
        return read_out(self.tile.readout, currents, variances, self.converters, row_keys, self.table)

    def finish(
        self,
        x: Tensor,
        row_keys: Tensor | None,
        unit: Digital,
        layer: Layer,
        tiles: Sequence[Parameters],
        residual: Tensor | None,
        *,
        logits: bool,
        flags: bool,
        compiled: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Run input codes through array, converters and `unit`: codes (images, columns, height, width), channels last.

        `residual`: codes of the same shape, or None. With `logits` the result is in output LSB, unquantised. With
        `flags` also where codes saturated.
        """
        height, width = self.tiles.geometry.output_size(x.shape[2], x.shape[3])
        currents, variances = self.currents(x, compiled=compiled)
        operand = None if residual is None else residual.permute(0, 2, 3, 1).reshape(-1, self.columns)
        run: Any = Epilogue(self.tile.readout, unit, layer, logits, flags)
        if compiled and unit.fuses:
            shape = (len(currents), self.columns, residual is None, not variances, tuple(constants(t) for t in tiles))
            any_rows(*currents, *variances, operand, row_keys if variances else None)
            run = fuse(run, (run, shape))
        keys = row_keys if variances else None
        codes, saturated = run(currents, variances, self.converters, keys, self.table, tiles, operand)

        def image(rows: Tensor) -> Tensor:
            return rows.view(x.shape[0], height, width, self.columns).permute(0, 3, 1, 2)

        return image(codes), None if saturated is None else image(saturated)


def constants(parameters: Parameters) -> tuple[tuple[str, Any], ...]:
    """Return what a compiled kernel takes as constant: dtypes of tensors, values of plain numbers."""
    return tuple((k, v.dtype if isinstance(v, Tensor) else v) for k, v in parameters.items())


def program(tile: Tile, weights: Floats, geometry: Geometry, *, signed: bool, seed: int, layer: int) -> ProgrammedLayer:
    """Program a layer's weights (columns, inputs, kernel height, kernel width) onto the tile's arrays.

    `signed`: whether the input codes can be negative. Devices and converters are drawn from (seed, layer).
    """
    crossbar, lines = tile.array, tile.readout.lines
    columns, inputs = weights.shape[:2]
    rows = split_rows(inputs, geometry, crossbar.rows)
    unfold = rows is None
    if rows is None:
        weights = weights.reshape(columns, -1, 1, 1)
        rows = split_rows(weights.shape[1], Geometry(), crossbar.rows)
        assert rows is not None, "single rows can be cut anywhere"
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, layer])))
    programmed = [crossbar.program(row_tile.of(weights), tile.wires, generator) for row_tile in rows]
    draws = [tile.readout.draw(lines * columns, generator) for _ in rows]
    top = max(float(variances.max(initial=0.0)) for _, variances, _ in programmed)
    two = tile.readout.output is Input.COUNTS
    unit = top * (1 if two else 2) / 511 or 1.0

    def kernel(positive: Floats, negative: Floats, sign: int) -> Tensor:
        """Lay the lines out as one convolution: side by side, or combined into the one line of a signed code."""
        if not two:
            stacked = positive + sign * negative
        elif signed:
            stacked = np.concatenate([np.concatenate([positive, negative], 1), np.concatenate([negative, positive], 1)])
        else:
            stacked = np.concatenate([positive, negative])
        return torch.from_numpy(stacked.astype(np.float32)).contiguous(memory_format=torch.channels_last)

    narrow = tile.encode.codes.range.hi <= LARGEST_CODE
    tiles = Tiles(
        geometry=geometry, rows=rows, unfold=unfold, signed=signed, output=tile.readout.output, integers=narrow
    )
    for codes, variances, _ in programmed:
        tiles.weights.append(kernel(codes[0], codes[1], -1))
        if crossbar.read_noise:
            tiles.variances.append(kernel(np.rint(variances[0] / unit), np.rint(variances[1] / unit), 1))
    return ProgrammedLayer(
        tile=tile,
        tiles=tiles,
        weight_step=np.stack([step for _, _, step in programmed]),
        relative_gain=np.stack([gain for gain, _ in draws]),
        count_offset=np.stack([offset for _, offset in draws]),
        variance_step=unit * 127.0,
        noise_keys=tuple(noise.key(seed, layer, index) for index in range(len(rows))),
    )
