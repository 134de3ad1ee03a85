"""From a network trained on bit-sliced tiles to integers on their arrays, and the scales of the codes between them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from golden_model.errors import UserError
from golden_model.fixed import SYM8
from integration.mapping.calibrate import moments
from integration.mapping.calibrated import Calibration, MeasuredLayer
from integration.mapping.operations import Graph, Layer, SumPool
from integration.mapping.sliced import Arrays, SlicedNetwork, Work, rows_of, sym8
from integration.mapping.trace import trace
from integration.zoo.sliced import SlicedConv2d
from sim.bit_planes import Readout
from sim.bit_slices import SlicedTile
from sim.digital import Digital
from sim.encode import percentile_scale

HEADROOM = 4
"""Bits that a value between layers has at most below its reader's input step."""


def convert_sliced(
    model: nn.Module, tile: SlicedTile, images: Tensor, *, units: Sequence[Digital] | None = None, seed: int = 0
) -> SlicedNetwork:
    """Return a network trained on bit-sliced tiles as integers on their arrays, with the units behind them.

    `model`: with `SlicedConv2d` layers, as `slice_network` makes and a checkpoint fills. `images`: normalised training
    images, which choose the scales of the 8-bit values. `units`: the FP16 unit and the NMPU by default. `seed` draws
    the comparators' offsets. Errors: UserError for what cannot be mapped.
    """
    plain = copy.deepcopy(model).eval()
    layers = {name: module for name, module in plain.named_modules() if isinstance(module, SlicedConv2d)}
    arrays: dict[str, Arrays] = {}
    generator = np.random.Generator(np.random.Philox(seed))
    with torch.inference_mode():
        for name, layer in layers.items():
            if (tile.array, tile.encode) != (layer.tile.array, layer.tile.encode):
                raise UserError(
                    f"{name} was trained for {layer.tile.name}: {tile.name} has other rows, slices or inputs"
                )
            layer.tile = tile
            weights = layer.integer_weights()
            sliced = layer.sliced(weights)
            codes = layer.codes().numpy().astype(np.int64)
            threshold = round(float(layer.threshold))
            a, b = tile.readout.bounds(threshold, (sliced.tiles, sliced.physical), generator)
            weight = codes.astype(np.float32) * sliced.slice_weights()
            arrays[name] = Arrays(
                name=name,
                sliced=sliced,
                scales=codes,
                readout=Readout(weight, a.astype(np.float32), b.astype(np.float32)),
                threshold=threshold,
                input_step=float(layer.step_input),
                step=float(layer.step_input * layer.step_weight * layer.scale_step),
            )
            arrays[name].check()
            layer.conv.weight.copy_(weights)
            parent, _, own = name.rpartition(".")
            setattr(plain.get_submodule(parent), own, layer.conv)
        network = SlicedNetwork(tile, trace(plain, tuple(images.shape[1:])), arrays)
        _check(network)
        _measure(network, images)
        for unit in (network.fp16(), network.nmpu()) if units is None else units:
            network.add(unit)
    return network


def _check(network: SlicedNetwork) -> None:
    """Refuse (UserError) what the float layers do not do here, and operands that are no codes."""
    graph = network.graph
    for index, layer in enumerate(graph.operations):
        if not isinstance(layer, Layer):
            continue
        if layer.name not in network.arrays and layer.residual is not None:
            raise UserError(f"{layer.name}: a float layer adds no residual here; put the add behind a sliced one")
        if layer.name in network.arrays and index + 1 == len(graph.operations):
            raise UserError(f"{layer.name} is the last layer: networks on bit-sliced tiles end in a float Linear")
        value = layer.residual
        while value and not isinstance(graph.operations[value - 1], Layer | SumPool):
            value = graph.operations[value - 1].source
        if value is not None and (value == 0 or isinstance(graph.operations[value - 1], SumPool)):
            raise UserError(f"{layer.name} adds an image or an average: only what a layer made is a code")


def _readers(graph: Graph, arrays: dict[str, Arrays], value: int) -> set[float]:
    """Return the input steps of the sliced layers that read a value, straight or through moves of codes."""
    found: set[float] = set()
    for index, operation in enumerate(graph.operations):
        if operation.source != value:
            continue
        if isinstance(operation, Layer):
            found |= {arrays[operation.name].input_step} if operation.name in arrays else set()
        elif not isinstance(operation, SumPool):
            found |= _readers(graph, arrays, index + 1)
    return found


def _added_behind_relu(graph: Graph) -> set[int]:
    """Return the values that layers with a ReLU in front of their add make or add, straight or through moves."""
    found: set[int] = set()
    for index, operation in enumerate(graph.operations):
        if isinstance(operation, Layer) and operation.relu_before and operation.residual is not None:
            found |= {index + 1, operation.residual}
    for index, operation in reversed(list(enumerate(graph.operations))):
        if index + 1 in found and not isinstance(operation, Layer):
            found.add(operation.source)
    return found


def _measure(network: SlicedNetwork, images: Tensor) -> None:
    """Choose the scale of every 8-bit value, and measure every layer's totals, on real values of a few images.

    A value whose LSB is below its reader's input step is rounded down, not half up: the encoder then rounds half up
    what the real value is, once. (Half up twice rounds up one value in 2^(k + 1) that lies below the half, always up.)
    What that takes from a value on average is given back where a residual or an average reads it. A unit's offset
    stands in front of its first ReLU: what is added behind that one is rounded half up.
    """
    graph, calibration = network.graph, Calibration()
    added_late = _added_behind_relu(graph)
    values: dict[int, Tensor] = {0: images.contiguous(memory_format=torch.channels_last)}
    floored: dict[int, Tensor] = {}  # codes
    for index, operation in enumerate(graph.operations):
        keep: list[Work] = []
        value = values[index + 1] = network.step(index, values, watch=keep.append)
        if isinstance(operation, SumPool) or (operation.source == 0 and not isinstance(operation, Layer)):
            continue
        if not isinstance(operation, Layer):
            if operation.source in network.scales:
                network.scales[index + 1] = network.scales[operation.source]
            if operation.source in floored:
                floored[index + 1] = operation.apply(floored[operation.source])
                network.lost[index + 1] = _lost(value, floored[index + 1], network.scales[index + 1])
            continue
        if index + 1 == len(graph.operations):
            continue
        steps = _readers(graph, network.arrays, index + 1)
        if len(steps) > 1:
            raise UserError(
                f"{operation.name}: its value is read by layers of {len(steps)} input steps; "
                "a code between sliced layers has one scale"
            )
        if operation.residual in network.lost:
            given_back = network.lost[operation.residual].flatten().numpy().astype(np.float64)
            operation = replace(operation, beta=operation.beta + given_back)
        scale = network.scales[index + 1] = _scale(network, operation, value, steps, calibration)
        if steps and scale < min(steps) and index + 1 not in added_late:
            network.again.add(operation.name)
            floored[index + 1] = sym8(value - scale / 2, scale)
            network.lost[index + 1] = _lost(value, floored[index + 1], scale)
        if keep:
            rows = rows_of(keep[0].totals).long()
            means, covariances = moments([rows])
            columns = rows.shape[1]
            network.measured[operation.name] = MeasuredLayer(
                layer=operation,
                input_scale=1.0,
                output_scale=scale,
                residual_scale=None if operation.residual is None else network.scales[operation.residual],
                logits=False,
                gains=np.full((1, 1, columns), network.arrays[operation.name].step),
                offsets=np.zeros((1, columns)),
                means=means,
                covariances=covariances,
            )


def _lost(value: Tensor, codes: Tensor, scale: float) -> Tensor:
    """Return what rounding down takes on average of codes that do not saturate: (channels, 1, 1), or flat values."""
    axes, held = (0, *range(2, value.ndim)), codes < SYM8.range.hi
    lost = torch.where(held, value - codes * scale, 0.0).sum(axes) / held.sum(axes).clip(1)
    return lost.reshape(-1, *[1] * (value.ndim - 2))


def _scale(network: SlicedNetwork, layer: Layer, value: Tensor, steps: set[float], calibration: Calibration) -> float:
    """Return the output scale of a layer: its reader's step over a power of two, or the percentile of its values.

    Of the powers under which offsets and the residual's scale fit the formats, the one with the least squared error.
    """
    arrays = network.arrays.get(layer.name)
    needed = 0.0
    if arrays is not None:
        needed = float(np.abs(layer.beta).max()) / calibration.largest_offset
        needed = max(needed, float(np.abs(arrays.step * layer.gamma).max()) / calibration.largest_scale)
        if layer.residual is not None:
            needed = max(needed, network.scales[layer.residual] / calibration.largest_scale)
    if not steps:
        return max(percentile_scale(value, calibration.percentile) / SYM8.range.hi, needed)
    step = min(steps)
    choices = [step / (1 << bits) for bits in range(HEADROOM + 1) if step / (1 << bits) >= needed] or [step]
    errors = [float((sym8(value, scale) * scale - value).square().mean()) for scale in choices]
    return choices[int(np.argmin(errors))]
