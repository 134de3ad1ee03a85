"""Convolutions on bit-sliced tiles, as torch modules that learn: integers inside, straight-through gradients outside.

    x_q = clamp(floor(x / step_input + 1/2), 0, 2^J - 1)         w_q = clamp(floor(w / step_weight + 1/2), -Q, Q)
    integer:     total = conv(x_q, w_q)
    comparator:  total = scale_step * sum over tiles t, slices k, input bits j of 2^k * s_tjk * p_tjk
                 s_tjk = clamp(floor(scale_tjk * 2^j / scale_step + 1/2), 0, 2^b - 1)
    y = total * step_input * step_weight

The steps are learned as in LSQ (Esser et al., ICLR 2020), the scales as HCiM learns them: one a tile, physical column
and input bit, 2^j folded in, unsigned codes under one step a layer, which batch norm takes in. Scales are kept in units
of column sums, so that p * scale stands for the sum itself. Gradients (ours): of a scale exactly, sum of gradient * p;
of inputs and weights by one convolution of gradient * share, the share of the sums that lie within 1.5 scales of 0,
weighted by 2^(j+k).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, StrEnum
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from golden_model.errors import UserError
from sim.array import Geometry
from sim.bit_planes import Readout
from sim.bit_slices import SlicedLayer, SlicedTile

WINDOW = 1.5
"""Scales around 0 within which a column sum passes gradients on."""
LEAST = 0.05
"""The smallest scale that training keeps, in cells."""
THRESHOLDS = range(2, 9)
"""What calibration chooses a layer's threshold from, cells. Not 1: lone sums are explained a little better there, the
layers' results are not, and fewer p are 0."""


class Granularity(Enum):
    """What shares a scale factor: the axes of (row tiles, input bits, slices, channels) that calibration pools."""

    BIT_SLICE = ()
    """Nothing: one a tile, physical column and input bit, as in training."""
    COLUMN = (1,)
    CHANNEL = (0, 1, 2)
    LAYER = (0, 1, 2, 3)


class Sums(StrEnum):
    """What a layer makes of its column sums."""

    INTEGER = "integer"  # exact, an ideal converter on every column: the network's own limit
    COMPARATOR = "comparator"


class _Quantise(torch.autograd.Function):
    """Codes of values; gradients pass inside the range."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(values, step)
        ctx.range = low, high
        return (values / step).add_(0.5).floor_().clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        values, step = ctx.saved_tensors
        real = values / step
        inside = torch.ops.aten.hardtanh_backward(gradients[0], real, *ctx.range)  # 0 outside of the range
        slope = -(real.mul_(inside)).sum() / step
        return inside.div_(step), slope, None, None


_quantise: Callable[..., Tensor] = _Quantise.apply


def quantise(values: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Return clamp(floor(values / step + 1/2), low, high), differentiable straight through, in `step` too."""
    return _quantise(values, step, low, high)


class _PartialSums(torch.autograd.Function):
    """Sums of p * code: exact integers forward, shares backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, codes: Tensor, scale: Tensor, layer: SlicedConv2d) -> Tensor:
        """`scale` in cells, for the window; the result is in units of `layer.scale_step`."""
        sliced = layer.sliced(weights)
        size = (x.shape[2], x.shape[3])
        ctx.layer, ctx.sliced, ctx.bytes = layer, sliced, x.byte().contiguous()
        ctx.save_for_backward(x, weights, scale)
        ctx.packed, ctx.readout = sliced.packed(*size), layer.readout(codes, sliced)
        return sliced.sums(ctx.bytes, ctx.packed, ctx.readout)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        x, weights, scale = ctx.saved_tensors
        layer, sliced, gradient = ctx.layer, ctx.sliced, gradients[0]
        part = layer.parts(sliced)
        window = (WINDOW * scale.detach()).cpu().numpy().astype(np.float32)
        slopes, passed = sliced.slopes(ctx.bytes, ctx.packed, ctx.readout, window, part, gradient)
        slopes = slopes * torch.from_numpy(sliced.slice_weights()).to(slopes.device)
        dtype = torch.bfloat16 if layer.bf16 else torch.float32
        conv = layer.conv
        passed = (passed / layer.scale_step.detach()).to(dtype)  # a cell is 1 / scale_step of the result
        given = torch.ops.aten.convolution_backward(
            passed, x.to(dtype), weights.to(dtype), None, conv.stride, conv.padding, conv.dilation, False, [0, 0], 1,
            [ctx.needs_input_grad[0], True, False],
        )  # fmt: skip
        return None if given[0] is None else given[0].float(), given[1].float(), slopes, None, None


_partial_sums: Callable[..., Tensor] = _PartialSums.apply


class SlicedConv2d(nn.Module):
    """A convolution on bit-sliced tiles, in the place of an `nn.Conv2d`; its output has the same shape and meaning."""

    threshold: Tensor

    def __init__(self, conv: nn.Conv2d, tile: SlicedTile, name: str) -> None:
        super().__init__()
        if conv.groups != 1 or conv.padding_mode != "zeros" or isinstance(conv.padding, str) or conv.bias is not None:
            raise UserError(
                f"{name} (Conv2d) cannot be sliced: allowed are groups = 1, zero padding in numbers, and no bias"
            )
        self.conv, self.tile, self.name = conv, tile, name
        self.sums, self.bf16, self.preparing = Sums.INTEGER, False, False
        self.granularity = Granularity.BIT_SLICE
        bits = tile.encode.bits
        blank = self.sliced(torch.zeros_like(conv.weight))
        self.step_input = nn.Parameter(torch.ones(()))
        self.step_weight = nn.Parameter(torch.ones(()))
        self.scale = nn.Parameter(torch.ones(blank.tiles, bits, blank.physical))
        self.scale_step = nn.Parameter(torch.ones(()))
        self.register_buffer("threshold", torch.ones(()))

    @property
    def geometry(self) -> Geometry:
        """Return the convolution's shape."""
        return Geometry.of(self.conv, self.conv.padding)

    def sliced(self, weights: Tensor) -> SlicedLayer:
        """Return integer weights on their tiles."""
        return SlicedLayer(weights.detach().cpu().numpy().astype(np.int64), self.geometry, self.tile)

    def integer_weights(self) -> Tensor:
        """Return w_q."""
        top = self.tile.array.largest
        return quantise(self.conv.weight, self.step_weight, -top, top)

    def codes(self) -> Tensor:
        """Return the scales' codes s, float32 integers (tiles, input bits, physical columns)."""
        folded = self.scale * (2.0 ** torch.arange(self.tile.encode.bits, device=self.scale.device))[:, None]
        return quantise(folded, self.scale_step, 0, self.tile.scales.scale_range.hi)

    def readout(self, codes: Tensor, sliced: SlicedLayer) -> Readout:
        """Return what stands behind the columns: 2^k * s, and the comparators' bounds, without offsets."""
        weight = codes.detach().cpu().numpy().astype(np.float32) * sliced.slice_weights()
        shape = (sliced.tiles, sliced.physical)
        comparator = self.tile.readout
        a, b = comparator.bounds(round(float(self.threshold)), shape, np.random.default_rng(0))
        return Readout(weight, a.astype(np.float32), b.astype(np.float32))

    def parts(self, sliced: SlicedLayer) -> NDArray[np.float32]:
        """Return the weight of each sum in a share, (input bits, physical columns)."""
        bits = 2.0 ** np.arange(self.tile.encode.bits)
        parts = bits[:, None] * sliced.slice_weights() / (bits.sum() * self.tile.array.largest * sliced.tiles)
        return np.ascontiguousarray(parts.astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return y of the module's docstring, (N, channels, H, W)."""
        if self.preparing:
            self.prepare(x)
        codes = quantise(x.float(), self.step_input, 0, self.tile.encode.largest)
        weights = self.integer_weights()
        conv, step = self.conv, self.step_input * self.step_weight
        if self.sums is Sums.INTEGER:
            total = F.conv2d(codes, weights, None, conv.stride, conv.padding, conv.dilation).float()
        else:
            total = _partial_sums(codes, weights, self.codes(), self.scale, self)
            step = step * self.scale_step
        result: Tensor = total * step
        return result

    def prepare(self, x: Tensor) -> None:
        """Set from a batch of inputs: the steps (integer sums), or threshold, scales and their step (comparators)."""
        with torch.no_grad():
            if self.sums is Sums.COMPARATOR:
                self._calibrate(quantise(x, self.step_input, 0, self.tile.encode.largest).byte())
                return
            if bool((x < 0).any()):
                raise UserError(
                    f"{self.name} reads negative values, which a bit at a time cannot carry: put a ReLU in front of it"
                )
            self.step_input.copy_(2 * x.mean() / self.tile.encode.largest**0.5)
            self.step_weight.copy_(2 * self.conv.weight.abs().mean() / self.tile.array.largest**0.5)

    def _calibrate(self, codes: Tensor) -> None:
        """Fit p * scale to the column sums by least squares: scale = Cov(sum, p) / Var(p), a tile, column and bit.

        The threshold is the one of `THRESHOLDS` under which the layer's sums are explained best, the step of the
        scales' codes the best of 40, both by squared error, weighted as the sums are.
        """
        sliced = self.sliced(self.integer_weights())
        ternary = self.tile.readout.ternary
        thresholds = list(THRESHOLDS) if ternary else [0]
        moments = [_moments(sliced.partial_sums(codes, t), thresholds, ternary) for t in range(sliced.tiles)]
        covariance, variance = (torch.stack(values, 1) for values in zip(*moments, strict=True))
        variance = variance.clamp(min=1e-6)  # (thresholds, tiles, bits, physical columns)
        power = (2.0 ** torch.arange(self.tile.encode.bits))[:, None] * torch.from_numpy(sliced.slice_weights())
        best = int((covariance.square() / variance * power.square()).sum((1, 2, 3)).argmax())
        self.threshold.fill_(float(thresholds[best]))
        weight = power.square()
        shared = [self._pool(values[best] * weight) for values in (covariance, variance)]
        self.scale.copy_((shared[0] / shared[1]).clamp(min=LEAST))
        folded = self.scale * (2.0 ** torch.arange(self.tile.encode.bits))[:, None]
        top = self.tile.scales.scale_range.hi
        importance = variance[best] * torch.from_numpy(sliced.slice_weights()).square()
        errors = []
        steps = float(folded.max()) / top * torch.linspace(0.2, 1.2, 40)
        for step in steps:
            kept = torch.floor(folded / step + 0.5).clamp(0, top) * step
            errors.append(float(((kept - folded).square() * importance).sum()))
        self.scale_step.copy_(steps[int(np.argmin(errors))])

    def _pool(self, values: Tensor) -> Tensor:
        """Sum what shares a scale factor; the shape stays."""
        parts = values.view(*values.shape[:2], -1, self.conv.out_channels)
        axes = self.granularity.value
        return (parts.sum(axes, keepdim=True).expand_as(parts) if axes else parts).reshape(values.shape)


def _moments(sums: Tensor, thresholds: list[int], ternary: bool) -> tuple[Tensor, Tensor]:
    """Return Cov(sum, p) and Var(p) under each threshold, (thresholds, bits, physical columns), of one tile's sums.

    From a histogram of each column's sums (images, bits, physical columns, height, width), which are small integers.
    """
    bits, columns = sums.shape[1:3]
    reach = int(sums.abs().max())
    values = torch.arange(-reach, reach + 1, dtype=torch.float64)
    first = torch.arange(bits * columns, dtype=torch.int32).view(bits, columns, 1, 1) * len(values) + reach
    counts = torch.bincount((sums.int() + first).flatten(), minlength=bits * columns * len(values))
    share = counts.view(-1, len(values)).double() / (sums.numel() / (bits * columns))
    covariances, variances = [], []
    for threshold in thresholds:
        p = (values >= threshold).double() - (values <= (-threshold if ternary else -1)).double()
        mean = share @ p
        covariances.append((share @ (p * values) - mean * (share @ values)).float().view(bits, columns))
        variances.append((share @ p.square() - mean.square()).float().view(bits, columns))
    return torch.stack(covariances), torch.stack(variances)


def slice_network(model: nn.Module, tile: SlicedTile) -> nn.Module:
    """Put every convolution but the first on bit-sliced tiles, in place; linear layers stay float. Returns the model.

    Errors: UserError for a convolution that cannot be sliced, or where there is none but the first.
    """
    convolutions = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    if len(convolutions) < 2:
        raise UserError(f"{type(model).__name__} has no Conv2d behind its first one, so nothing to put on {tile.name}")
    for name, module in convolutions[1:]:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, SlicedConv2d(module, tile, name))
    return model


def sliced_layers(model: nn.Module) -> list[SlicedConv2d]:
    """Return the sliced convolutions of a model, in order."""
    return [module for module in model.modules() if isinstance(module, SlicedConv2d)]


def constrain(layers: Sequence[SlicedConv2d]) -> None:
    """Keep steps and scales above 0, after an optimiser's step."""
    with torch.no_grad():
        for layer in layers:
            for step in (layer.step_input, layer.step_weight, layer.scale_step):
                step.clamp_(min=1e-5)
            layer.scale.clamp_(min=LEAST)


def set_sums(model: nn.Module, sums: Sums) -> None:
    """Have every sliced convolution make its sums this way."""
    for layer in sliced_layers(model):
        layer.sums = sums
