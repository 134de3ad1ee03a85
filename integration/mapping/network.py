"""A converted network: calibrated tiles and the parameters of each digital unit that finishes their work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from integration.mapping.calibrate import calibrate
from integration.mapping.calibrated import Calibrated, CalibratedLayer, Calibration
from integration.mapping.operations import Layer
from integration.mapping.quantise import Clips, UnitParameters, parameters
from integration.mapping.trace import trace
from sim import noise
from sim.digital import Digital, FloatUnit, Fp16Unit, NmpuUnit
from sim.kernels import compiler_stands
from sim.presets import preset as find_preset
from sim.tile import Tile

UNITS: tuple[Digital, ...] = (FloatUnit(), Fp16Unit(), NmpuUnit())
"""The units that an evaluation compares: the reference, the baseline, ours."""


@dataclass(slots=True)
class LayerStatistics:
    """What one layer did on one batch: the hook of `ConvertedNetwork.run` receives it."""

    index: int
    layer: Layer
    codes: Tensor
    """Input codes, (images, channels, height, width)."""
    residual: Tensor | None
    result: Tensor
    """Output codes, or logits in output LSB."""
    saturated: Tensor
    """Where the result saturated."""


@dataclass(slots=True)
class ConvertedNetwork:
    """A network on tiles. `run` returns the logits of a batch, finished by one of its units."""

    calibrated: Calibrated
    units: dict[str, Digital] = field(default_factory=dict)
    prepared: dict[str, list[UnitParameters]] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    """Normalisation of the images that it was calibrated with, one entry a channel, where the caller told it."""
    std: tuple[float, ...] = ()

    def add(self, unit: Digital) -> None:
        """Quantise the parameters for one more unit, under its name; a unit that cannot run a layer is refused."""
        if unit.name in self.units:
            raise UserError(f"two units are named {unit.name!r}; give each its own name")
        for layer in self.calibrated.layers:
            fit(unit, layer, self.calibrated.tile)
        self.units[unit.name] = unit
        self.prepared[unit.name] = [parameters(layer, unit) for layer in self.calibrated.layers]

    def clips(self, unit: str) -> Clips:
        """Return the parameters that a unit's formats could not hold, over all layers."""
        return sum((prepared.clips for prepared in self.prepared[unit]), Clips())

    def run(
        self,
        images: Tensor,
        unit: str,
        *,
        first: int = 0,
        compiled: bool | None = None,
        watch: Callable[[LayerStatistics], None] | None = None,
        keep: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Return logits, float32 (images, classes), in real units, for normalised images.

        `first`: the number of the first image in its data set, which decides its read noise: splitting a set into
        batches changes nothing. `compiled`: fuse the epilogues (default: where a C++ compiler stands; same bits).
        `watch` is called with every layer's statistics, `keep` with the number and codes of every value.
        """
        if unit not in self.units:
            raise UserError(f"unit {unit!r} is not in this network: it has {', '.join(self.units)}")
        with torch.inference_mode():
            return self._run(images, unit, first, compiler_stands() if compiled is None else compiled, watch, keep)

    def _run(
        self,
        images: Tensor,
        unit: str,
        first: int,
        compiled: bool,
        watch: Callable[[LayerStatistics], None] | None,
        keep: Callable[[int, Tensor], None] | None,
    ) -> Tensor:
        net, operations = self.calibrated, self.calibrated.graph.operations
        codes = net.tile.encode.encode(images, net.input_scale)
        values: dict[int, Tensor] = {0: codes.contiguous(memory_format=torch.channels_last)}
        numbers = torch.arange(first, first + len(images), dtype=torch.int32)
        keys: dict[int, Tensor] = {}
        done = net.graph.last_uses()
        number = 0
        if keep is not None:
            keep(0, values[0])
        for index, operation in enumerate(operations):
            x = values[operation.source]
            if isinstance(operation, Layer):
                layer, prepared = net.layers[number], self.prepared[unit][number]
                x = x[:, :, None, None] if operation.flat else x
                height, width = operation.geometry.output_size(x.shape[2], x.shape[3])
                pixels = height * width
                if net.tile.array.read_noise and pixels not in keys:
                    keys[pixels] = noise.row_keys(noise.key(net.seed), numbers, pixels)
                residual = None if operation.residual is None else values[operation.residual]
                y, saturated = layer.programmed.finish(
                    x,
                    keys.get(pixels),
                    self.units[unit],
                    prepared.layer,
                    prepared.tiles,
                    residual,
                    logits=layer.logits,
                    flags=watch is not None,
                    compiled=compiled,
                )
                if watch is not None and saturated is not None:
                    watch(LayerStatistics(number, operation, x, residual, y, saturated))
                values[index + 1] = y.flatten(1) if operation.flat else y
                number += 1
            else:
                values[index + 1] = operation.apply(x)
            if keep is not None:
                keep(index + 1, values[index + 1])
            for value in done[index]:
                del values[value]
        return values[len(operations)] * torch.tensor(net.scales[-1], dtype=torch.float32)


def fit(unit: Digital, calibrated: CalibratedLayer, tile: Tile) -> None:
    """Refuse (UserError) a unit that does not fit the tile's converters and encoders, or lacks what a layer needs."""
    lines = tile.encode.codes.range
    if unit.output.range.hi != lines.hi or unit.output.range.lo < lines.lo:
        raise UserError(
            f"{unit.name}: output {unit.output} does not fit the encoder of {tile.name}, which sends codes "
            f"{lines.lo} .. {lines.hi}; take SYM8, or UINT7 behind ReLUs"
        )
    if isinstance(unit, FloatUnit):
        return
    config = unit.config if isinstance(unit, Fp16Unit | NmpuUnit) else None
    if config is None:
        return
    if config.input is not tile.readout.output or config.input_bits < tile.readout.bits:
        raise UserError(
            f"{unit.name}: input {config.input.value} of {config.input_bits} bits does not fit the converters of "
            f"{tile.name}: {tile.readout.output.value} of {tile.readout.bits} bits"
        )
    if not isinstance(config, NmpuConfig):
        return
    layer, count = calibrated.layer, len(calibrated.programmed.tiles.rows)
    if count > config.max_tiles:
        raise UserError(f"{unit.name}: {layer.name} takes {count} row tiles and max_tiles is {config.max_tiles}")
    if not config.partial_sum and (count > 1 or calibrated.logits):
        raise UserError(f"{unit.name}: {layer.name} sums over tiles or ends in logits; that needs partial_sum = true")
    if layer.residual is not None and not config.residual:
        raise UserError(f"{unit.name}: {layer.name} adds a residual; that needs residual = true")


def convert(
    model: nn.Module,
    preset: str | Tile,
    images: Tensor,
    *,
    units: Sequence[Digital] = UNITS,
    seed: int = 0,
    calibration: Calibration | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> ConvertedNetwork:
    """Put a plain torch model on analog tiles, calibrate it, and quantise the parameters of each digital unit.

    `images`: normalised training images (images, channels, height, width), of which calibration takes the first ones.
    `seed` draws devices, converters and read noise. What cannot be mapped is refused (UserError) with its name.
    """
    tile = find_preset(preset) if isinstance(preset, str) else preset
    calibration = Calibration() if calibration is None else calibration
    with torch.inference_mode():
        graph = trace(model, tuple(images.shape[1:]))
        calibrated = calibrate(
            graph, tile, images[: calibration.images], seed=seed, calibration=calibration, report=report
        )
        network = ConvertedNetwork(calibrated)
        for unit in units:
            network.add(unit)
    return network
