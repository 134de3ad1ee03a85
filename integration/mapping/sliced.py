"""A network trained on bit-sliced tiles as integers: the sums of scale-factor arrays, and what stands behind them.

    codes = clamp(floor(x / step_input + 1/2), 0, 2^J - 1)                    encoder
    total = sum over tiles, slices k, bits j of 2^k * s * p                   arrays, then shift and add: exact
    y     = gamma * step * total + beta, residual add, ReLU                   digital unit

The float unit keeps real values between layers, as training does. Any other unit leaves 8-bit codes, at a scale that is
the next layer's input step over a power of two, so that its encoder only rounds low bits away. Such codes are rounded
down, by half an LSB in the offset in front of the unit's half up, so that the encoder's half up is the only one. The
first convolution, linear layers and average pooling are float, whatever the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from golden_model.errors import UserError
from golden_model.fixed import SYM8, Rounding
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input
from golden_model.nmpu_config import Layer as UnitLayer
from golden_model.scale_array.combine import combined_range, unit_behind
from integration.mapping.calibrated import MeasuredLayer
from integration.mapping.operations import Graph, Layer, SumPool
from integration.mapping.quantise import Clips, UnitParameters, parameters
from sim.bit_planes import Packed, Readout
from sim.bit_slices import SlicedLayer, SlicedTile
from sim.devices import Floats
from sim.digital import Digital, Fp16Unit, NmpuUnit, Parameters
from sim.kernels import any_rows, fuse
from sim.tile import constants


@dataclass(slots=True, kw_only=True)
class Arrays:
    """One layer on its arrays: what the hardware is loaded with, and what an input code and a total are worth."""

    name: str
    sliced: SlicedLayer
    scales: NDArray[np.int64]
    """Codes of the scale factors, (row tiles, input bits, physical columns)."""
    readout: Readout
    """The comparators' bounds, and 2^k times the scales."""
    threshold: int
    input_step: float
    """Real value of one LSB of the input codes."""
    step: float
    """Real value of one LSB of the total."""
    sizes: dict[tuple[int, int], Packed] = field(default_factory=dict)

    def encode(self, values: Tensor, scale: float | None) -> Tensor:
        """Return the input codes, uint8, contiguous, of real values, or of codes whose LSB is `scale`."""
        encoder = self.sliced.tile.encode
        if scale is None:
            return encoder.encode(values, self.input_step).byte().contiguous()
        return encoder.encode(values * (scale / self.input_step), 1.0).byte().contiguous()  # a power of two: exact

    def packed(self, codes: Tensor) -> Packed:
        """Return the packed weights for images of this size."""
        size = (codes.shape[2], codes.shape[3])
        if size not in self.sizes:
            self.sizes[size] = self.sliced.packed(*size)
        return self.sizes[size]

    def totals(self, codes: Tensor) -> Tensor:
        """Return the totals (images, channels, height, width), float32 integers, for input codes."""
        return self.sliced.sums(codes, self.packed(codes), self.readout)

    def check(self) -> None:
        """Refuse (UserError) scales under which a partial sum could overflow."""
        largest, room = self.scales.sum(1).max(), self.sliced.tile.scales.sum_range.hi
        if largest > room:
            raise UserError(
                f"{self.name}: the scales of a column add up to {largest} over its input bits, sums of "
                f"{self.sliced.tile.scales.sum_bits} bits hold {room}; give the array wider sums"
            )


@dataclass(frozen=True, slots=True)
class Behind:
    """What follows the arrays of one layer with one unit: the static half of a fused kernel."""

    unit: Digital
    layer: UnitLayer

    def __call__(self, totals: Tensor, tiles: Sequence[Parameters], residual: Tensor | None) -> Tensor:
        """Return codes (rows, columns)."""
        return self.unit.finish(tiles, self.layer, [(totals, None)], residual, logits=False)[0]


class Work(NamedTuple):
    """What one layer did on one batch: the hook of `SlicedNetwork.run` receives it."""

    arrays: Arrays
    codes: Tensor
    """Input codes, uint8 (images, inputs, height, width)."""
    totals: Tensor


@dataclass(slots=True)
class SlicedNetwork:
    """A network on bit-sliced tiles. `run` returns the logits of a batch, finished by one of its units."""

    tile: SlicedTile
    graph: Graph
    arrays: dict[str, Arrays]
    scales: dict[int, float] = field(default_factory=dict)
    """Real value of one LSB of each 8-bit value; those that stay real have none."""
    lost: dict[int, Tensor] = field(default_factory=dict)
    """What rounding down takes from a value on average, (channels, 1, 1), for values that an encoder rounds again."""
    again: set[str] = field(default_factory=set)
    """The layers that make such values."""
    measured: dict[str, MeasuredLayer] = field(default_factory=dict)
    units: dict[str, Digital] = field(default_factory=dict)
    prepared: dict[str, dict[str, UnitParameters]] = field(default_factory=dict)

    def add(self, unit: Digital) -> None:
        """Quantise the layers' parameters for one more unit, under its name."""
        if unit.name in self.units:
            raise UserError(f"two units are named {unit.name!r}; give each its own name")
        if unit.output != SYM8:
            raise UserError(f"{unit.name}: output {unit.output}; values between sliced layers are SYM8")
        wanted = self.input_bits
        config = unit.config if isinstance(unit, Fp16Unit | NmpuUnit) else None
        if config is not None and (config.input is not Input.CODE or config.input_bits < wanted):
            raise UserError(
                f"{unit.name}: input {config.input.value} of {config.input_bits} bits does not fit the arrays of "
                f"{self.tile.name}, whose totals are codes of {wanted} bits"
            )
        self.units[unit.name] = unit
        self.prepared[unit.name] = {
            name: parameters(self._rounding_down(layer, unit), unit) for name, layer in self.measured.items()
        }

    def _rounding_down(self, measured: MeasuredLayer, unit: Digital) -> MeasuredLayer:
        """Return a layer of which a unit leaves codes rounded down, where an encoder rounds them again."""
        floors = isinstance(unit, NmpuUnit) and unit.config.rounding is Rounding.FLOOR
        if floors or measured.layer.name not in self.again:
            return measured
        layer = replace(measured.layer, beta=measured.layer.beta - measured.output_scale / 2)
        return replace(measured, layer=layer)

    def clips(self, unit: str) -> Clips:
        """Return the parameters that a unit's formats could not hold, over all layers."""
        return sum((prepared.clips for prepared in self.prepared[unit].values()), Clips())

    @property
    def input_bits(self) -> int:
        """Return the width of the widest layer's totals, as the arrays' formats allow them."""
        slices, scales = self.tile.array.slices, self.tile.scales
        return max(combined_range(scales, slices, layer.sliced.tiles).signed_bits for layer in self.arrays.values())

    def nmpu(self, **options: object) -> NmpuUnit:
        """Return the NMPU behind these arrays: residual adder, layer shift to 15; `options` are fields of it."""
        tiles = max(layer.sliced.tiles for layer in self.arrays.values())
        chosen = {"residual": True} | options
        return NmpuUnit(config=unit_behind(self.tile.scales, self.tile.array.slices, tiles, **chosen))

    def fp16(self) -> Fp16Unit:
        """Return the FP16 unit behind these arrays."""
        return Fp16Unit(config=Fp16Config(input=Input.CODE, input_bits=self.input_bits))

    def run(
        self,
        images: Tensor,
        unit: str | None = None,
        *,
        compiled: bool = False,
        watch: Callable[[Work], None] | None = None,
    ) -> Tensor:
        """Return logits, float32 (images, classes), for normalised images.

        `unit`: a unit's name; None keeps real values between layers, as training does. `compiled`: fuse the unit's
        kernels (same bits). `watch` sees every layer's work.
        """
        if unit is not None and unit not in self.units:
            raise UserError(f"unit {unit!r} is not in this network: it has {', '.join(self.units)}")
        with torch.inference_mode():
            return self._run(images, unit, compiled, watch)

    def _run(self, images: Tensor, unit: str | None, compiled: bool, watch: Callable[[Work], None] | None) -> Tensor:
        values: dict[int, Tensor] = {0: images.contiguous(memory_format=torch.channels_last)}
        done = self.graph.last_uses()
        for index in range(len(self.graph.operations)):
            values[index + 1] = self.step(index, values, unit, compiled, watch)
            for value in done[index]:
                del values[value]
        return values[len(self.graph.operations)]

    def step(
        self,
        index: int,
        values: dict[int, Tensor],
        unit: str | None = None,
        compiled: bool = False,
        watch: Callable[[Work], None] | None = None,
    ) -> Tensor:
        """Return the value that an operation makes: real, or codes where a unit made it and it has a scale."""
        operation = self.graph.operations[index]
        x = values[operation.source]

        def real(value: int) -> Tensor:
            if unit is None or value not in self.scales:
                return values[value]
            return values[value] * self.scales[value] + self.lost.get(value, 0.0)

        if isinstance(operation, SumPool):
            mean = operation.sums(real(operation.source)) / operation.count
            return mean.flatten(1) if operation.squeeze else mean
        if not isinstance(operation, Layer):
            return operation.apply(x)
        arrays = self.arrays.get(operation.name)
        if arrays is None:
            y = finished(operation, _float_layer(operation, real(operation.source)), None)
            if unit is None or index + 1 not in self.scales:
                return y
            scale = self.scales[index + 1]
            return sym8(y - scale / 2 if index + 1 in self.lost else y, scale)
        codes = arrays.encode(x, None if unit is None else self.scales.get(operation.source))
        totals = arrays.totals(codes)
        if watch is not None:
            watch(Work(arrays, codes, totals))
        residual = None if operation.residual is None else values[operation.residual]
        if unit is None:
            factor, beta = arrays.step * operation.gamma, operation.beta
            return finished(operation, totals * _column(factor) + _column(beta), residual)
        prepared = self.prepared[unit][operation.name]
        rows, operand = rows_of(totals), None if residual is None else rows_of(residual)
        run: Any = Behind(self.units[unit], prepared.layer)
        if compiled and self.units[unit].fuses:
            any_rows(rows, operand)
            run = fuse(run, (run, rows.shape[1], operand is None, constants(prepared.tiles[0])))
        made: Tensor = run(rows, prepared.tiles, operand)
        return made.view(len(totals), *totals.shape[2:], -1).permute(0, 3, 1, 2)


def sym8(values: Tensor, scale: float) -> Tensor:
    """Return SYM8 codes of real values, half up."""
    return torch.floor(values / scale + 0.5).clip(SYM8.range.lo, SYM8.range.hi)


def finished(layer: Layer, y: Tensor, residual: Tensor | None) -> Tensor:
    """Return y with the layer's ReLUs and residual add."""
    if layer.relu_before:
        y = y.clip(0, None)
    if residual is not None:
        y = y + residual
    return y.clip(0, None) if layer.relu_after else y


def _column(values: Floats) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))[:, None, None]


def rows_of(values: Tensor) -> Tensor:
    """Return (images, columns, height, width) as (images * pixels, columns)."""
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


def _float_layer(layer: Layer, x: Tensor) -> Tensor:
    """Return a float convolution or linear layer with its batch norm, before residual and ReLUs."""
    g, weights = layer.geometry, torch.from_numpy(layer.weights.astype(np.float32))
    if layer.flat:
        return F.linear(x, weights[:, :, 0, 0]) * _column(layer.gamma)[:, 0, 0] + _column(layer.beta)[:, 0, 0]
    return F.conv2d(x, weights, None, g.stride, g.padding, g.dilation) * _column(layer.gamma) + _column(layer.beta)
