"""Calibration: what each column's converters really do, and the scales of everything that is quantised.

One pass of a few training images through the analog chain with the float unit, layer by layer. Every statistic that
decides a parameter is a sum of integers, exact in any order, so that thread count and machine do not change a bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from golden_model.errors import UserError
from integration.mapping.calibrated import Calibrated, CalibratedLayer, Calibration
from integration.mapping.operations import Graph, Layer, SumPool
from integration.mapping.quantise import float_parameters
from sim import noise
from sim.array import GRID, Tiles
from sim.devices import Floats
from sim.digital import FloatUnit, Reading
from sim.encode import percentile_scale
from sim.tile import Tile, program

MOST_ROWS = 1 << 15
"""Rows (image times pixel) that the least squares look at: beyond them, evenly spaced ones are taken."""


def ideal_products(tiles: Tiles, weights: Floats, x: Tensor) -> tuple[list[Tensor], Floats]:
    """Return each tile's exact dot products of input codes and weights, int64, (rows, columns), and their LSB.

    Weights are taken to 18 bits, in two halves of 9, so that each float32 convolution is exact.
    """
    columns = len(weights)
    largest = np.abs(weights).reshape(columns, -1).max(axis=1, initial=0.0)
    lsb = np.where(largest > 0, largest, 1.0) / (GRID << 9)
    integers = np.rint(weights / lsb.reshape(-1, 1, 1, 1)).astype(np.int64)
    high = integers >> 9
    if tiles.unfold:
        integers, high = integers.reshape(columns, -1, 1, 1), high.reshape(columns, -1, 1, 1)
    halves = np.concatenate([high, integers - (high << 9)])
    exact = Tiles(geometry=tiles.geometry, rows=tiles.rows, unfold=tiles.unfold, signed=False, output=tiles.output)
    exact.weights = [torch.from_numpy(row.of(halves).astype(np.float32)) for row in tiles.rows]
    products = exact.currents(x, noise=False)[0]
    return [(p[:, :columns].long() << 9) + p[:, columns:].long() for p in products], lsb


def least_squares(counts: Sequence[Tensor], products: Tensor, nominal: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Fit products ~ a_p P - a_n N + b for each column, a >= 0, pulled towards `nominal` by `ridge`.

    `counts`: one or two int64 (rows, columns); `products`: int64; nominal: (columns,), products a count. Returns a,
    (lines, columns), and b, (columns,), both in units of `products`.
    """
    rows = products.shape[0]
    signs = (1.0, -1.0)[: len(counts)]

    def covariance(x: Tensor, y: Tensor) -> Floats:
        exact: Floats = ((x * y).sum(0) * rows - x.sum(0) * y.sum(0)).double().numpy()
        return exact / rows**2

    # Products are cut to what keeps their integer sums below 2**62 whatever the data.
    widest = max(int(count.abs().max()) for count in counts).bit_length()
    cut = max(int(products.abs().max()).bit_length() + widest + 2 * rows.bit_length() - 62, 0)
    target = products >> cut
    scale = float(1 << cut)
    gram = [
        [covariance(x, y) * sx * sy for y, sy in zip(counts, signs, strict=True)]
        for x, sx in zip(counts, signs, strict=True)
    ]
    cross = [covariance(x, target) * sx * scale for x, sx in zip(counts, signs, strict=True)]
    pull = ridge * sum(gram[i][i] for i in range(len(counts))) / len(counts)
    right = [c + pull * nominal for c in cross]

    def alone(i: int) -> Floats:
        diagonal = gram[i][i] + pull
        solved: Floats = np.where(diagonal > 0, right[i] / np.where(diagonal > 0, diagonal, 1), nominal)
        return np.maximum(solved, 0.0)

    if len(counts) == 1:
        gains = np.stack([alone(0)])
    else:
        (pp, pn), (_, nn) = gram
        pp, nn = pp + pull, nn + pull
        determinant = pp * nn - pn * pn
        safe = np.where(determinant > 0, determinant, 1.0)
        both = np.stack([(nn * right[0] - pn * right[1]) / safe, (pp * right[1] - pn * right[0]) / safe])
        flat = determinant <= 1e-12 * np.maximum(pp * nn, 1e-300)
        both[:, flat] = nominal[flat]
        zero = np.zeros_like(nominal)
        only_p, only_n = np.stack([alone(0), zero]), np.stack([zero, alone(1)])
        gains = np.where(both[1] < 0, only_p, np.where(both[0] < 0, only_n, both))
    mean = products.double().numpy().sum(0) / rows
    offset = mean - sum(
        sign * gain * x.sum(0).double().numpy() / rows for sign, gain, x in zip(signs, gains, counts, strict=True)
    )
    return gains, np.asarray(offset)


def moments(counts: Sequence[Tensor]) -> tuple[Floats, Floats]:
    """Return means (counts, columns) and covariances (counts, counts, columns) of int64 counts of (rows, columns)."""
    rows = counts[0].shape[0]
    sums = [x.sum(0).double().numpy() for x in counts]
    joint = [[(x * y).sum(0).double().numpy() / rows for y in counts] for x in counts]
    means = np.stack(sums) / rows
    return means, np.stack([np.stack(line) for line in joint]) - means[:, None] * means[None]


def calibrate(
    graph: Graph,
    tile: Tile,
    images: Tensor,
    *,
    seed: int,
    calibration: Calibration,
    report: Callable[[str], None] = lambda _: None,
) -> Calibrated:
    """Program the graph's layers onto tiles and measure them with normalised images (images, channels, height, width).

    `seed` draws devices, converters and read noise; `report` is told the name of each layer as it is reached.
    """
    if not torch.isfinite(images).all():
        raise UserError("calibration images hold NaN or infinite values")
    input_scale = percentile_scale(images, calibration.percentile) / tile.encode.codes.range.hi
    first = tile.encode.encode(images, input_scale).contiguous(memory_format=torch.channels_last)
    values: dict[int, Tensor] = {0: first}
    scales, signed = {0: input_scale}, {0: bool((images < 0).any())}
    network = Calibrated(tile=tile, calibration=calibration, seed=seed, graph=graph, input_scale=input_scale)
    numbers = -1 - torch.arange(len(images), dtype=torch.int32)  # noise of its own: test images count from 0
    done = graph.last_uses()
    for index, operation in enumerate(graph.operations):
        x, scale = values[operation.source], scales[operation.source]
        if isinstance(operation, Layer):
            report(operation.name)
            logits = index == len(graph.operations) - 1 and not (operation.relu_before or operation.relu_after)
            residual = None if operation.residual is None else values[operation.residual]
            residual_scale = None if operation.residual is None else scales[operation.residual]
            calibrated, y = _layer(
                operation, x, scale, signed[operation.source], residual, residual_scale, logits and residual is None,
                numbers, len(network.layers), network,
            )  # fmt: skip
            network.layers.append(calibrated)
            values[index + 1], scales[index + 1] = y, calibrated.output_scale
            positive = operation.relu_after or (
                operation.relu_before and (operation.residual is None or not signed[operation.residual])
            )
            signed[index + 1] = not positive
        else:
            if isinstance(operation, SumPool):
                largest = percentile_scale(operation.sums(x), calibration.percentile)
                operation.shift = max(int(np.ceil(np.log2(max(largest / 127.5, 1.0)))), 0)
                scale = scale * 2.0**operation.shift / operation.count
            values[index + 1], scales[index + 1] = operation.apply(x), scale
            signed[index + 1] = signed[operation.source]
        for value in done[index]:
            del values[value]
    network.scales = [scales[i] for i in range(len(graph.operations) + 1)]
    return network


def _layer(
    layer: Layer,
    x: Tensor,
    input_scale: float,
    signed: bool,
    residual: Tensor | None,
    residual_scale: float | None,
    logits: bool,
    numbers: Tensor,
    index: int,
    network: Calibrated,
) -> tuple[CalibratedLayer, Tensor]:
    """Program and measure one layer; also return its float unit's codes (or logits)."""
    tile, calibration = network.tile, network.calibration
    codes = x[:, :, None, None] if layer.flat else x
    programmed = program(tile, layer.weights, layer.geometry, signed=signed, seed=network.seed, layer=index)
    currents, _ = programmed.tiles.currents(codes, noise=False)
    programmed.set_full_scale(max(percentile_scale(current, calibration.percentile) for current in currents))
    height, width = layer.geometry.output_size(codes.shape[2], codes.shape[3])
    row_keys = noise.row_keys(noise.key(network.seed), numbers, height * width)
    readings = programmed.read(codes, row_keys)
    products, lsb = ideal_products(programmed.tiles, layer.weights, codes)
    step = -(-len(products[0]) // MOST_ROWS)
    gains, offsets = [], []
    for number, reading in enumerate(readings):
        counts = [count[::step].long() for count in reading if count is not None]
        nominal = programmed.weight_step[number] / lsb * programmed.full_scale / tile.readout.full_scale
        gain, offset = least_squares(counts, products[number][::step], nominal, calibration.ridge)
        gains.append(gain * lsb)
        offsets.append(offset * lsb)
    counts = [count[::step].long() for reading in readings for count in reading if count is not None]
    means, covariances = moments(counts)
    calibrated = CalibratedLayer(
        layer=layer,
        programmed=programmed,
        input_scale=input_scale,
        output_scale=1.0,
        residual_scale=residual_scale,
        logits=logits,
        gains=np.stack(gains),
        offsets=np.stack(offsets),
        means=means,
        covariances=covariances,
    )
    calibrated.output_scale = _output_scale(calibrated, readings, residual, calibration)
    parameters = float_parameters(calibrated)
    operand = None if residual is None else residual.permute(0, 2, 3, 1).reshape(-1, programmed.columns)
    rows, _ = FloatUnit().finish(parameters, calibrated.relus, readings, operand, logits=logits)
    y = rows.view(len(x), height, width, -1).permute(0, 3, 1, 2)
    return calibrated, y.flatten(1) if layer.flat else y


def _output_scale(
    calibrated: CalibratedLayer, readings: Sequence[Reading], residual: Tensor | None, calibration: Calibration
) -> float:
    """Return the output scale: the percentile of the results, widened until offsets and scales fit their formats.

    One clipped offset costs a network points, a scale 2 % wider costs nothing (docs/tile.md).
    """
    unit = FloatUnit()
    parameters = float_parameters(calibrated)  # at output scale 1: real units
    total, _ = unit.finish(parameters, calibrated.relus, readings, None, logits=True)
    if calibrated.layer.relu_before:
        total = total.clip(0, None)
    if residual is not None:
        assert calibrated.residual_scale is not None
        operand = residual.permute(0, 2, 3, 1).reshape(total.shape)
        total = total + operand * np.float32(calibrated.residual_scale).item()
    if calibrated.layer.relu_after:
        total = total.clip(0, None)
    scale = percentile_scale(total, calibration.percentile) / 127
    offset = float(np.abs(calibrated.total_offset).max()) / calibration.largest_offset
    largest = float((calibrated.gains * np.abs(calibrated.factor)).max())
    largest = max(largest, calibrated.residual_scale or 0.0)
    return max(scale, offset, largest / calibration.largest_scale)
