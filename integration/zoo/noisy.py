"""Layers that train under the noise of a tile, so that their network bears it (hardware-aware training).

    x_n = S * clamp(round(x / S), lo, hi)                   codes of the tile's encoder
    w_n = w + m * programming(|w| / m) * N(0, 1)            m: the largest |w| of a column; drawn anew every step
    v   = layer(x_n^2, (m * read(|w| / m))^2) + output_noise^2 * mean(y^2),     y = layer(x_n, w_n)
    y_n = y + sqrt(v) * deviate                             drawn for every result, as the tile draws it

S follows the magnitudes' percentile that calibration takes, as a running mean. programming and read are the standard
deviations of the tile's devices, relative to their largest conductance. Gradients pass straight through rounding,
inside the range, and see no programming noise; they do see how v follows from x and w, so that a network learns results
that are read well, instead of only bearing those that are not. A layer's weights are kept within `clip` of their
standard deviations, since the largest of a column decides how loud programming is beside the others. Sources: Joshi et
al., Nature Communications 2020 (weight noise, clipping); Rasch et al., Nature Communications 2023 (input ranges, output
noise); read noise of each result, and its gradient: ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.zoo.noisy_kernels import spread, straight_through
from sim import noise as deviates
from sim.devices import Floats
from sim.encode import PERCENTILE, percentile_scale
from sim.kernels import compiler_stands
from sim.tile import Tile

POINTS = 256
"""Steps of the table that sigma is looked up in."""
SAMPLE = 1 << 15
"""Inputs of a batch that a range is read from, evenly spaced."""
MOMENTUM = 0.05
"""Of the running mean of a range, a step."""
WORTH_COMPILING = 100
"""Steps after which fused kernels pay for the seconds that the compiler takes; the bits are the same."""

Source = Callable[[], torch.Generator]
"""The training's own generator, on the CPU, as it stands now."""


class Reads(StrEnum):
    """Where training draws the read noise of a tile's devices."""

    RESULTS = "results"
    """For every result, as the tile does."""
    WEIGHTS = "weights"
    """Once a step, with the weights: the same for all images and pixels of a batch, and cheaper."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What a network is trained to bear."""

    tile: Tile
    weight_noise: float | None = None
    """Standard deviation of a weight relative to its column's largest, in place of what the devices have."""
    read_noise: Reads = Reads.RESULTS
    """Where that of the devices is drawn."""
    output_noise: float = 0.0
    """Standard deviation relative to the root mean square of a layer's result."""
    clip: float = 2.0
    """Standard deviations of a layer's weights that none of them may exceed; 0: no limit."""

    def fields(self) -> dict[str, Any]:
        """Return everything but the tile, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "tile"}

    def of_weights(self) -> Tensor:
        """Return the standard deviation of a weight over |w| / m = 0, 1 / POINTS, .. 1, relative to m."""
        if self.weight_noise is not None:
            return torch.full((POINTS + 1,), float(self.weight_noise))
        crossbar, x = self.tile.array, np.linspace(0.0, 1.0, POINTS + 1)
        programming = crossbar.device.programming_sigma(x) if crossbar.programming_noise else 0 * x
        return self._relative(programming, self._read(x) if self.read_noise is Reads.WEIGHTS else 0 * x)

    def of_reads(self) -> Tensor | None:
        """Return what one read adds to it, alike; None where results have none of their own."""
        sigma = self._read(np.linspace(0.0, 1.0, POINTS + 1))
        if self.weight_noise is not None or self.read_noise is not Reads.RESULTS or not sigma.any():
            return None
        return self._relative(sigma)

    def _read(self, x: Floats) -> Floats:
        crossbar = self.tile.array
        g = x * crossbar.device.g_max
        return crossbar.device.read_sigma(g, g, 0.0) if crossbar.read_noise else 0 * g

    def _relative(self, *sigmas: Floats) -> Tensor:
        together = np.sqrt(np.square(sigmas).sum(axis=0))
        return torch.from_numpy((together / self.tile.array.device.g_max).astype(np.float32))


@functools.lru_cache(maxsize=32)
def sample(shape: torch.Size, device: torch.device) -> tuple[Tensor, ...]:
    """Return the places, evenly spaced, that a range is read from."""
    count = shape.numel()
    step = max(1, count // SAMPLE)
    while math.gcd(step, count) > 1:  # one that shares a factor with the width would skip columns of the image
        step += 1
    return torch.unravel_index(torch.arange(0, count, step, device=device), shape)


class NoisyLayer(nn.Module):
    """A convolution or linear layer under noise, in the place of the plain one; in evaluation mode only inputs round.

    Input and output have the layer's shapes.
    """

    span: Tensor
    of_weights: Tensor
    of_reads: Tensor | None

    def __init__(self, layer: nn.Conv2d | nn.Linear, noise: Noise, source: Source) -> None:
        super().__init__()
        self.layer, self.noise, self.source = layer, noise, source
        self.steps, self.compiles = 0, compiler_stands()
        self.register_buffer("span", torch.zeros(()))  # the real value of the largest code; 0: none seen yet
        self.register_buffer("of_weights", noise.of_weights(), persistent=False)
        self.register_buffer("of_reads", noise.of_reads(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return y_n of the module's docstring."""
        layer = self.layer
        if self.training:
            self._follow(x.detach())
            self.steps += 1
        fused = self.training and self.steps > WORTH_COMPILING and self.compiles and x.device.type == "cpu"
        codes = self.noise.tile.encode.codes.range
        squared = self.training and self.of_reads is not None
        if float(self.span) > 0:
            step = (self.span / codes.hi).float()
            x, *squares = straight_through(x, step, codes.lo, codes.hi, squared=squared, fused=fused)
        else:
            squares = [x * x]
        if not self.training:
            return self._apply_weights(x, layer.weight, layer.bias)
        y = self._apply_weights(x, layer.weight + self._weight_noise(), layer.bias)
        variance = self._variance(y, squares[0] if squared else None)
        if variance is None:
            return y
        return spread(y, variance, self._keys(y), columns=-3 if isinstance(layer, nn.Conv2d) else -1, fused=fused)

    def _follow(self, x: Tensor) -> None:
        """Move the range towards that of a batch."""
        seen = percentile_scale(x[sample(x.shape, x.device)].float(), PERCENTILE)
        if float(self.span) == 0:
            self.span.fill_(seen)
        else:
            self.span.lerp_(torch.tensor(seen, device=self.span.device), MOMENTUM)

    def _places(self) -> tuple[Tensor, Tensor]:
        """Return the largest magnitude of each column, and where in the tables of sigma each weight lies."""
        weights: Tensor = self.layer.weight
        largest = weights.detach().abs().amax(tuple(range(1, weights.ndim)), keepdim=True).clamp(min=1e-12)
        return largest, (weights.abs() / largest * POINTS).nan_to_num()  # where training diverges, the loss says so

    def _weight_noise(self) -> Tensor:
        with torch.no_grad():
            largest, place = self._places()
            normal = torch.randn(place.shape, generator=self.source()).to(place.device)
            return largest * self.of_weights[place.round().long()] * normal

    def _variance(self, y: Tensor, square: Tensor | None) -> Tensor | None:
        """Return v of the module's docstring for inputs squared, None where it is 0."""
        variance, sigma = None, self.of_reads
        if square is not None and sigma is not None:
            largest, place = self._places()
            below = place.detach().long().clamp(max=POINTS - 1)
            read = largest * (sigma[below] + (place - below) * (sigma[below + 1] - sigma[below]))  # has a slope
            variance = self._apply_weights(square, read * read, None)
        if self.noise.output_noise > 0:
            rest = (self.noise.output_noise**2 * y.detach().float().square().mean()).to(y.dtype)
            variance = rest.expand_as(y) if variance is None else variance + rest
        return variance

    def _keys(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the deviates of this step's results follow from."""
        columns = y.shape[1] if isinstance(self.layer, nn.Conv2d) else y.shape[-1]
        key = torch.randint(-(1 << 31), 1 << 31, (1,), generator=self.source()).to(y.device, torch.int32)
        return deviates.row_keys(0, key, y.numel() // columns), deviates.column_keys(columns, y.device)

    def _apply_weights(self, x: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weights, bias)
        result: Tensor = layer._conv_forward(x, weights, bias)
        return result


def make_noisy(model: nn.Module, noise: Noise, source: Source) -> nn.Module:
    """Put every convolution and linear layer under noise, in place; returns the model.

    Errors: UserError where there is none.
    """
    found = dict(model.named_modules(remove_duplicate=False))
    layers = {name: module for name, module in found.items() if name and isinstance(module, nn.Conv2d | nn.Linear)}
    if not layers:
        raise UserError(f"{type(model).__name__} has no Conv2d or Linear inside, so nothing to train under noise")
    made = {module: NoisyLayer(module, noise, source) for module in layers.values()}  # one, wherever it is used
    for name, module in layers.items():
        _replace(model, name, made[module])
    return model


def noisy_layers(model: nn.Module) -> list[NoisyLayer]:
    """Return the layers under noise, in order."""
    return [module for module in model.modules() if isinstance(module, NoisyLayer)]


def make_plain(model: nn.Module) -> nn.Module:
    """Put the plain layers back, with what they learned, in place; returns the model."""
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if isinstance(module, NoisyLayer):
            _replace(model, name, module.layer)
    return model


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


def clip_weights(model: nn.Module) -> None:
    """Clip every layer's weights to its limit, after an optimiser's step."""
    with torch.no_grad():
        for layer in noisy_layers(model):
            if layer.noise.clip > 0:
                weights = layer.layer.weight.data
                limit = layer.noise.clip * float(weights.std(correction=0))
                weights.clamp_(-limit, limit)
