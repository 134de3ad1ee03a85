"""Crossbar arrays: a layer's weights as conductances on row tiles, and the currents that leave their columns.

Conductances as read lie on a 9-bit grid and inputs are integers, so every float32 sum below is exact in any order
(127 * 256 * 511 < 2**24): batch size, thread count and machine do not change a bit.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from golden_model.errors import UserError
from golden_model.nmpu_config import Input
from sim import int8
from sim.devices import HERMES_PAIR, Device, Floats
from sim.kernels import any_rows, fuse
from sim.wires import IdealWires

GRID = 511
"""Steps of the conductance grid: 9 bits."""


def pair(value: Any) -> tuple[int, int]:
    """Return what torch takes for both dimensions, one number or two, as two."""
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """A convolution's shape. A linear layer is a 1 x 1 convolution of a 1 x 1 image."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @classmethod
    def of(cls, conv: nn.Conv2d, padding: Any) -> Geometry:
        """Return the shape of a convolution, with its padding in numbers."""
        kernel, stride, dilation = pair(conv.kernel_size), pair(conv.stride), pair(conv.dilation)
        return cls(kernel=kernel, stride=stride, padding=pair(padding), dilation=dilation)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the result."""
        return tuple(  # type: ignore[return-value]  # two entries, as the zipped tuples have
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip(
                (height, width), self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )


@dataclass(frozen=True, slots=True)
class RowTile:
    """The part of a layer's rows that one array holds: a range of input channels times a range of kernel rows."""

    channels: tuple[int, int]
    kernel_rows: tuple[int, int]

    def of(self, weights: Floats) -> Floats:
        """Return the tile's part of weights (outputs, inputs, kernel height, kernel width)."""
        part: Floats = weights[:, slice(*self.channels), slice(*self.kernel_rows)]
        return part


def _cuts(total: int, parts: int) -> list[tuple[int, int]]:
    edges = [total * i // parts for i in range(parts + 1)]
    return list(itertools.pairwise(edges))


def split_rows(inputs: int, geometry: Geometry, rows: int) -> list[RowTile] | None:
    """Return the fewest row tiles of at most `rows` rows whose edges fall between channels or kernel rows, most equal.

    None where such edges would take more tiles than ceil(all rows / rows): the caller unfolds the input then.
    """
    height, width = geometry.kernel
    tiles = -(-inputs * height * width // rows)
    best: tuple[int, list[RowTile]] | None = None
    for by_kernel in range(1, height + 1):
        by_channel = tiles // by_kernel
        if tiles % by_kernel or by_channel > inputs:
            continue
        largest = -(-inputs // by_channel) * -(-height // by_kernel) * width
        if largest <= rows and (best is None or largest < best[0]):
            best = largest, [RowTile(c, k) for k in _cuts(height, by_kernel) for c in _cuts(inputs, by_channel)]
    return None if best is None else best[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossbar:
    """A differential crossbar: each column is a positive and a negative line of devices."""

    rows: int = 256
    """Inputs of one array."""
    columns: int = 256
    """Outputs of one array; a wider layer takes several side by side, which changes no number."""
    device: Device = HERMES_PAIR
    """The device (pair) of one polarity."""
    headroom: float = 1.25
    """Where the conductance grid ends, in g_max: programming noise beyond it is clipped."""
    programming_noise: bool = True
    """Whether programming misses its target."""
    read_noise: bool = True
    """Whether each read of each device is noisy."""
    seconds: float = 0.0
    """Time between programming and reading: drift."""

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= 256:
            raise UserError(f"rows = {self.rows}: 1 to 256, beyond which float32 sums would no longer be exact")
        if self.columns < 1:
            raise UserError(f"columns = {self.columns}: at least 1")
        if self.headroom < 1:
            raise UserError(f"headroom = {self.headroom}: the grid must reach g_max, so at least 1")

    def program(
        self, weights: Floats, wires: IdealWires, generator: np.random.Generator
    ) -> tuple[Floats, Floats, Floats]:
        """Program one tile's weights (outputs, ...), each column scaled so that its largest weight takes g_max.

        Returns conductance codes 0 .. 511, shape (2, outputs, ...): positive, negative lines; the variances of one read
        in the same shape, in squared conductance steps; and the weight of one conductance step, (outputs,).
        """
        flat = np.abs(weights).reshape(len(weights), -1)
        largest = flat.max(axis=1, initial=0.0)
        span = np.where(largest > 0, largest, 1.0).reshape(-1, *[1] * (weights.ndim - 1))
        target = np.stack([np.maximum(weights, 0), np.maximum(-weights, 0)]) / span * self.device.g_max
        programmed = self.device.program(target, generator, noise=self.programming_noise)
        # a stream of its own, so that the same devices are programmed whatever their age when they are read
        drifted = self.device.drift(programmed, self.seconds, generator.spawn(1)[0])
        step = self.headroom * self.device.g_max / GRID
        sigma = self.device.read_sigma(programmed, drifted, self.seconds) if self.read_noise else 0 * drifted
        codes = np.rint(wires.conductances(drifted) / step).clip(0, GRID)
        return codes, (sigma / step) ** 2, np.where(largest > 0, largest, 0.0) * step / self.device.g_max


@dataclass(kw_only=True)
class Tiles:
    """One layer on its row tiles: what computes the currents.

    `weights`, `variances`: a tensor a tile, (lines, inputs of the tile, kernel rows, kernel columns), float32 integers;
    lines = 2 * outputs for two counts (all positive lines, then all negative), outputs for a signed code. Where the
    input is signed and counts are taken, the inputs stand twice: their positive parts, then their negative parts.
    """

    geometry: Geometry
    rows: list[RowTile]
    unfold: bool
    """Whether the input is unfolded into columns first, since no tile edge fell between channels."""
    signed: bool
    """Whether the input codes can be negative."""
    output: Input
    weights: list[Tensor] = field(default_factory=list)
    variances: list[Tensor] = field(default_factory=list)
    integers: bool = False
    """Whether weights are conductance steps and inputs codes of 7 bits, so that `sim.int8` may compute."""

    @property
    def largest_rows(self) -> int:
        """Return the rows of the largest tile."""
        doubled = self.signed and self.output is Input.COUNTS
        return max(weight[0].numel() for weight in self.weights) // (2 if doubled else 1)

    def _geometries(self) -> list[Geometry]:
        """Return the convolution to run on each tile's input."""
        g = self.geometry
        if self.unfold:
            return [Geometry()] * len(self.rows)
        if not self._cut_kernels:
            return [g] * len(self.rows)
        return [
            Geometry(kernel=(high - low, g.kernel[1]), stride=g.stride, padding=(0, g.padding[1]), dilation=g.dilation)
            for low, high in (tile.kernel_rows for tile in self.rows)
        ]

    @property
    def _cut_kernels(self) -> bool:
        return any(tile.kernel_rows != (0, self.geometry.kernel[0]) for tile in self.rows)

    @functools.cached_property
    def _kernels(self) -> list[tuple[int8.Convolution, int8.Convolution | None]]:
        """The tiles' weights and variances for `sim.int8`; none where float32 computes."""
        if not self.integers or (self.signed and self.output is Input.CODE) or not int8.stands():
            return []

        def packed(weights: list[Tensor]) -> list[int8.Convolution]:
            shapes = zip(weights, self._geometries(), strict=True)
            return [int8.Convolution(weight, g.stride, g.padding, g.dilation) for weight, g in shapes]

        variances = packed(self.variances) if self.variances else [None] * len(self.rows)
        return list(zip(packed(self.weights), variances, strict=True))

    def _parts(self, x: Tensor) -> list[Tensor]:
        """Return each tile's input."""
        g = self.geometry
        if self.unfold:
            height, width = g.output_size(x.shape[2], x.shape[3])
            x = F.unfold(x, g.kernel, g.dilation, g.padding, g.stride).view(x.shape[0], -1, height, width)
        elif self._cut_kernels:
            height = g.output_size(x.shape[2], x.shape[3])[0]
            x = F.pad(x, (0, 0, g.padding[0], g.padding[0])).contiguous(memory_format=torch.channels_last)
            parts = []
            for tile in self.rows:
                low, high = tile.kernel_rows
                start = low * g.dilation[0]
                stop = start + (height - 1) * g.stride[0] + (high - low - 1) * g.dilation[0] + 1
                parts.append(x[:, slice(*tile.channels), start:stop])
            return parts
        return [x if len(self.rows) == 1 else x[:, slice(*tile.channels)] for tile in self.rows]

    def currents(self, x: Tensor, *, noise: bool, compiled: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Return the currents of each tile and, with `noise`, the variance of their read noise.

        `x`: input codes (images, channels, height, width), float32, channels last. Each result is (images * height *
        width, lines): currents in conductance steps times input LSB, variances in units of `variance_step`. `compiled`
        changes no bit.
        """
        lines = Lines(split=self.signed and self.output is Input.COUNTS, squared=noise, spread=bool(self._kernels))
        currents, variances = [], []
        for index, (part, g) in enumerate(zip(self._parts(x), self._geometries(), strict=True)):
            run: Any = lines
            if compiled and lines != Lines():
                any_rows(part)
                run = fuse(lines, (lines, part.shape[1:], part.stride()))
            codes, *squares = run(part)
            if self._kernels:
                weight, variance = self._kernels[index]
                currents.append(_lines_last(weight(codes)))
                if variance is not None:
                    variances += [_lines_last(variance(s)) for s in squares]
            else:
                currents.append(_convolve(codes, self.weights[index], g))
                variances += [_convolve(s, self.variances[index], g) for s in squares]
        return currents, variances


@dataclass(frozen=True, slots=True)
class Lines:
    """What the input lines of an array carry for codes (images, channels, height, width), float32."""

    split: bool = False
    """Whether positive and negative parts lie side by side."""
    squared: bool = False
    """Whether round(x**2 / 127) follows, what read noise is summed from."""
    spread: bool = False
    """Whether both are laid out for `sim.int8`."""

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the codes, and their squares where wanted."""
        codes = torch.cat([x.clip(0, None), (-x).clip(0, None)], 1) if self.split else x
        values = (codes, torch.round(codes * codes / 127.0)) if self.squared else (codes,)
        return int8.spread(*values) if self.spread else values


def _convolve(x: Tensor, weight: Tensor, g: Geometry) -> Tensor:
    return _lines_last(F.conv2d(x, weight, None, g.stride, g.padding, g.dilation))


def _lines_last(y: Tensor) -> Tensor:
    """Return (images, lines, height, width) as (images * height * width, lines)."""
    return y.permute(0, 2, 3, 1).reshape(-1, y.shape[1])
