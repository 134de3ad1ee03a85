"""Layers that train under the noise of a tile, so that their network bears it (hardware-aware training).

    x_n = S * clamp(round(x / S), lo, hi)                        codes of the tile's encoder
    w_n = w + m * sigma(|w| / m) * N(0, 1)                       m: the largest |w| of a column, drawn anew every step
    y_n = y + output_noise * sqrt(mean(y^2)) * N(0, 1),          y = layer(x_n, w_n)

S follows the magnitudes' percentile that calibration takes, as a running mean. sigma is what programming and one read
of the tile's devices leave, relative to their largest conductance, or a constant. Gradients pass straight through
rounding, inside the range, and see no noise. A layer's weights are kept within `clip` of their standard deviations,
since the largest of a column decides how loud the noise is beside the others. Sources: Joshi et al., Nature
Communications 2020 (weight noise, clipping); Rasch et al., Nature Communications 2023 (input ranges, output noise).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from golden_model.errors import UserError
from sim.encode import PERCENTILE, percentile_scale
from sim.kernels import compiler_stands, fuse
from sim.tile import Tile

POINTS = 256
"""Steps of the table that sigma is looked up in."""
SAMPLE = 1 << 15
"""Inputs of a batch that a range is read from, evenly spaced."""
MOMENTUM = 0.05
"""Of the running mean of a range, a step."""
WORTH_COMPILING = 100
"""Steps after which fusing the rounding pays for the seconds that the compiler takes; the bits are the same."""

Draw = Callable[[torch.Size], Tensor]
"""Standard normal deviates of a shape, on the CPU, from the training's own generator."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What a network is trained to bear."""

    tile: Tile
    weight_noise: float | None = None
    """Standard deviation relative to a column's largest weight; None: that of the tile's devices."""
    output_noise: float = 0.0
    """Standard deviation relative to the root mean square of a layer's result."""
    clip: float = 2.0
    """Standard deviations of a layer's weights that none of them may exceed; 0: no limit."""

    def numbers(self) -> dict[str, Any]:
        """Return everything but the tile, by name."""
        return {"weight_noise": self.weight_noise, "output_noise": self.output_noise, "clip": self.clip}

    def sigma(self) -> Tensor:
        """Return the standard deviation over |w| / m = 0, 1 / POINTS, .. 1, relative to m."""
        if self.weight_noise is not None:
            return torch.full((POINTS + 1,), float(self.weight_noise))
        crossbar, x = self.tile.array, np.linspace(0.0, 1.0, POINTS + 1)
        device = crossbar.device
        g = x * device.g_max
        variance = np.zeros_like(x)
        if crossbar.programming_noise:
            variance += device.programming_sigma(x) ** 2
        if crossbar.read_noise:
            variance += device.read_sigma(g, g, 0.0) ** 2
        return torch.from_numpy((np.sqrt(variance) / device.g_max).astype(np.float32))


def round_to_codes(x: Tensor, step: Tensor, lo: float, hi: float) -> Tensor:
    """Return step * clamp(round(x / step), lo, hi), computed in float32, in x's type."""
    return (x.float() * (1 / step)).round().clamp(lo, hi).mul(step).to(x.dtype)


def within_range(gradient: Tensor, x: Tensor, step: Tensor, lo: float, hi: float) -> Tensor:
    """Return the gradient where x rounds to a code of the range, 0 elsewhere."""
    codes = (x.float() * (1 / step)).round()
    return torch.where(codes == codes.clamp(lo, hi), gradient, 0.0)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, lo: float, hi: float, fused: bool) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.rest = lo, hi, fused
        return _run(round_to_codes, fused, x, step, lo, hi)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, step = ctx.saved_tensors
        lo, hi, fused = ctx.rest
        return _run(within_range, fused, gradient, x, step, lo, hi), None, None, None, None


def _run(kernel: Callable[..., Tensor], fused: bool, x: Tensor, *rest: Any) -> Tensor:
    return (fuse(kernel, (kernel, x.shape, x.dtype, x.stride())) if fused else kernel)(x, *rest)


def straight_through(x: Tensor, step: Tensor, lo: float, hi: float, *, fused: bool) -> Tensor:
    """Return `round_to_codes`, whose gradient is `within_range`; fused into a pass each way, or not: the same bits."""
    apply: Callable[..., Tensor] = _StraightThrough.apply  # torch leaves it untyped
    return apply(x, step, float(lo), float(hi), fused)


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
    sigma: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear, noise: Noise, draw: Draw) -> None:
        super().__init__()
        self.layer, self.noise, self.draw = layer, noise, draw
        self.steps, self.compiles = 0, compiler_stands()
        self.register_buffer("span", torch.zeros(()))  # the real value of the largest code; 0: none seen yet
        self.register_buffer("sigma", noise.sigma(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return y_n of the module's docstring."""
        layer = self.layer
        if self.training:
            self._follow(x.detach())
            self.steps += 1
        codes = self.noise.tile.encode.codes.range
        if float(self.span) > 0:
            fused = self.training and self.steps > WORTH_COMPILING and self.compiles and x.device.type == "cpu"
            x = straight_through(x, (self.span / codes.hi).float(), codes.lo, codes.hi, fused=fused)
        if not self.training:
            return self._apply_weights(x, layer.weight)
        y = self._apply_weights(x, layer.weight + self._weight_noise())
        if self.noise.output_noise == 0:
            return y
        size = self.noise.output_noise * y.detach().float().square().mean().sqrt()
        return y + (size * self.draw(y.shape).to(y.device)).to(y.dtype)

    def _follow(self, x: Tensor) -> None:
        """Move the range towards that of a batch."""
        seen = percentile_scale(x[sample(x.shape, x.device)].float(), PERCENTILE)
        if float(self.span) == 0:
            self.span.fill_(seen)
        else:
            self.span.lerp_(torch.tensor(seen, device=self.span.device), MOMENTUM)

    def _weight_noise(self) -> Tensor:
        weights: Tensor = self.layer.weight.detach()
        largest = weights.abs().amax(tuple(range(1, weights.ndim)), keepdim=True).clamp(min=1e-12)
        place = (weights.abs() / largest * POINTS).nan_to_num()  # where training diverges, the loss says so
        sigma = self.sigma[place.round().long()]
        return largest * sigma * self.draw(weights.shape).to(weights.device)

    def _apply_weights(self, x: Tensor, weights: Tensor) -> Tensor:
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weights, layer.bias)
        result: Tensor = layer._conv_forward(x, weights, layer.bias)
        return result


def make_noisy(model: nn.Module, noise: Noise, draw: Draw) -> nn.Module:
    """Put every convolution and linear layer under noise, in place; returns the model.

    Errors: UserError where there is none.
    """
    found = dict(model.named_modules(remove_duplicate=False))
    layers = {name: module for name, module in found.items() if name and isinstance(module, nn.Conv2d | nn.Linear)}
    if not layers:
        raise UserError(f"{type(model).__name__} has no Conv2d or Linear inside, so nothing to train under noise")
    made = {module: NoisyLayer(module, noise, draw) for module in layers.values()}  # one, wherever it is used
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
