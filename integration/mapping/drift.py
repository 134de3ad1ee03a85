"""What a calibrated network becomes as its devices drift, and what the digital unit's scales can mend of it.

Calibration stands: activation scales, converter ranges and offsets are those of the day it was done. The devices are
the same ones, older. Compensation reads the calibration images once more on every row tile and scales its parameters:

    global:  alpha   = sum over rows and columns of |y before| / sum of |y after|,      y = a_p P - a_n N
    column:  alpha_c = the same over the rows of each column

a_p, a_n and b of the tile are multiplied by alpha, which rewrites every unit's scales; b too, since it holds what the
converter's offset makes of the scales. Source of the factor: Joshi et al., Nature Communications 2020 (global, sum of
magnitudes); a factor a column is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from golden_model.errors import UserError
from integration.mapping.calibrate import MOST_ROWS, moments
from integration.mapping.calibrated import Calibrated, CalibratedLayer
from integration.mapping.network import ConvertedNetwork, LayerStatistics
from sim import noise
from sim.devices import Floats
from sim.digital import FloatUnit, Reading
from sim.tile import ProgrammedLayer, program


class Compensation(Enum):
    """What is rewritten after a drift."""

    NONE = "none"
    GLOBAL = "global"
    COLUMN = "column"


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How long after calibration a network is used, and what is done about it."""

    seconds: float = 0.0
    """Since calibration; the tile's own `array.seconds` lie before it."""
    compensation: Compensation = Compensation.COLUMN
    """What is scaled; nothing at 0 s."""

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < 1e12:
            raise UserError(f"age: seconds = {self.seconds}: 0 to 1e12")


def _sums(readings: Reading, gains: Floats) -> Floats:
    """Return a_p P - a_n N, (rows, columns), of every rows-th row that fits `MOST_ROWS`."""
    lines = [line for line in readings if line is not None]
    step = -(-len(lines[0]) // MOST_ROWS)
    signs = (1.0, -1.0)
    total: Floats = sum(
        sign * gain * line[::step].double().numpy() for sign, gain, line in zip(signs, gains, lines, strict=False)
    )
    return total


def aged(network: Calibrated, images: Tensor, age: Age) -> Calibrated:
    """Return the network on the same devices `age.seconds` later, compensated.

    `images`: the normalised images that it was calibrated with.
    """
    if age.seconds == 0:
        return network
    crossbar = network.tile.array
    tile = replace(network.tile, array=replace(crossbar, seconds=crossbar.seconds + age.seconds))
    rewritten = age.compensation is not Compensation.NONE
    inputs = _inputs(network, images[: network.calibration.images]) if rewritten else []
    layers = []
    for index, layer in enumerate(network.layers):
        signed = layer.programmed.tiles.signed
        old = program(tile, layer.layer.weights, layer.layer.geometry, signed=signed, seed=network.seed, layer=index)
        old.set_full_scale(layer.programmed.full_scale)
        if rewritten:
            layers.append(_compensated(layer, old, inputs[index], age.compensation, network.seed))
        else:
            layers.append(replace(layer, programmed=old))
    return replace(network, tile=tile, layers=layers)


def _inputs(network: Calibrated, images: Tensor) -> list[Tensor]:
    """Return the codes that each layer reads of some images before any drift."""
    found: list[Tensor] = []

    def watch(layer: LayerStatistics) -> None:
        found.append(layer.codes)

    young, unit = ConvertedNetwork(network), FloatUnit()
    young.add(unit)
    young.run(images, unit.name, first=-len(images), compiled=False, watch=watch)
    return found


def _compensated(
    layer: CalibratedLayer, old: ProgrammedLayer, codes: Tensor, compensation: Compensation, seed: int
) -> CalibratedLayer:
    """Return a layer on its older devices, its parameters scaled to what it made when they were young."""
    height, width = layer.layer.geometry.output_size(codes.shape[2], codes.shape[3])
    count = len(codes)
    before, after = (  # two reads, each with noise of its own, that of no test image
        chips.read(
            codes, noise.row_keys(noise.key(seed), first - torch.arange(count, dtype=torch.int32), height * width)
        )
        for chips, first in ((layer.programmed, -1), (old, -1 - count))
    )
    sums = [
        [np.abs(_sums(reading, layer.gains[tile])).sum(0) for tile, reading in enumerate(readings)]
        for readings in (before, after)
    ]
    young, aged_sums = np.stack(sums[0]), np.stack(sums[1])  # (tiles, columns)
    if compensation is Compensation.GLOBAL:
        young, aged_sums = (each.sum(1, keepdims=True) for each in (young, aged_sums))
    ratio = np.where(aged_sums > 0, young / np.where(aged_sums > 0, aged_sums, 1.0), 1.0)
    alpha = np.broadcast_to(ratio, layer.offsets.shape)
    step = -(-len(codes) * height * width // MOST_ROWS)
    means, covariances = moments([line[::step].long() for reading in after for line in reading if line is not None])
    return replace(
        layer,
        programmed=old,
        gains=layer.gains * alpha[:, None],
        offsets=layer.offsets * alpha,
        means=means,
        covariances=covariances,
    )
