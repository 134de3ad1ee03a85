"""Kernels of the layers that train under noise, each with its gradient: rounding to codes, and spreading results.

Fused into one pass each way, or not: the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim.kernels import fuse
from sim.noise import mix


def _round(x: Tensor, step: Tensor, lo: float, hi: float, squared: bool) -> tuple[Tensor, ...]:
    rounded = (x.float() * (1 / step)).round().clamp(lo, hi).mul(step)
    return (rounded.to(x.dtype), (rounded * rounded).to(x.dtype)) if squared else (rounded.to(x.dtype),)


def _within_range(gradient: Tensor, x: Tensor, step: Tensor, lo: float, hi: float, *square: Tensor) -> Tensor:
    codes = (x.float() * (1 / step)).round()
    for of_square in square:
        gradient = (gradient.float() + of_square.float() * (codes * step * 2)).to(x.dtype)
    return torch.where(codes == codes.clamp(lo, hi), gradient, 0.0)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, lo: float, hi: float, squared: bool, fused: bool) -> Any:
        ctx.save_for_backward(x, step)
        ctx.rest = lo, hi, fused
        return _run(_round, fused, x, step, lo, hi, squared)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *square: Tensor) -> Any:
        x, step = ctx.saved_tensors
        lo, hi, fused = ctx.rest
        return _run(_within_range, fused, gradient, x, step, lo, hi, *square), None, None, None, None, None


def _run(kernel: Callable[..., Any], fused: bool, x: Tensor, *rest: Any) -> Any:
    return (fuse(kernel, (kernel, x.shape, x.dtype, x.stride(), len(rest))) if fused else kernel)(x, *rest)


def straight_through(
    x: Tensor, step: Tensor, lo: float, hi: float, *, squared: bool = False, fused: bool
) -> tuple[Tensor, ...]:
    """Return r = step * clamp(round(x / step), lo, hi), computed in float32, in x's type; with `squared` also r^2.

    Gradients pass where x rounds to a code of the range, and are 0 elsewhere.
    """
    apply: Callable[..., tuple[Tensor, ...]] = _StraightThrough.apply  # torch leaves it untyped
    return apply(x, step, float(lo), float(hi), squared, fused)


def _root(variance: Tensor) -> Tensor:
    """Return the square root, rounded correctly, as compiled code has it: torch's own is not where MKL stands."""
    positive = variance.float().clamp(min=0)
    if positive.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.from_numpy(np.sqrt(positive.numpy()))
    return positive.sqrt()


def _bell(shape: torch.Size, rows: Tensor, columns: Tensor) -> Tensor:
    """Return deviates: a hash's four bytes, summed: mean 0, variance 1, within 3.45, excess kurtosis -0.3.

    The tile's own are normal, by a look-up, which is not worth its time here.
    """
    hashed = mix(rows[:, None] ^ columns)
    total = (hashed & 255) + ((hashed >> 8) & 255) + ((hashed >> 16) & 255) + ((hashed >> 24) & 255)
    return (total.float() - 510).mul(1 / math.sqrt((256**2 - 1) / 3)).view(shape)


def _spread(y: Tensor, variance: Tensor, columns: int, *keys: Tensor) -> Tensor:
    y, variance = y.movedim(columns, -1), variance.movedim(columns, -1)
    return (y.float() + _root(variance) * _bell(y.shape, *keys)).to(y.dtype).movedim(-1, columns)


def _slope(gradient: Tensor, variance: Tensor, columns: int, *keys: Tensor) -> Tensor:
    gradient, variance = gradient.movedim(columns, -1), variance.movedim(columns, -1)
    sigma = _root(variance)
    slope = torch.where(sigma > 0, gradient.float() * _bell(variance.shape, *keys) / (2 * sigma), 0.0)
    return slope.to(variance.dtype).movedim(-1, columns)


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, variance: Tensor, columns: int, fused: bool, *keys: Tensor) -> Tensor:
        ctx.save_for_backward(variance, *keys)
        ctx.rest = columns, fused
        result: Tensor = _run(_spread, fused, y, variance, columns, *keys)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        variance, *keys = ctx.saved_tensors
        columns, fused = ctx.rest
        slope = _run(_slope, fused, gradient, variance, columns, *keys) if ctx.needs_input_grad[1] else None
        return gradient, slope, None, None, None, None


def spread(y: Tensor, variance: Tensor, keys: tuple[Tensor, Tensor], *, columns: int, fused: bool) -> Tensor:
    """Return y + sqrt(variance) * a deviate each, computed in float32, in y's type; exact gradients of both.

    `columns`: which dimension holds them. `keys`: int32, of rows (all other dimensions, flat) and of columns, as
    `sim.noise` makes them; deviates are drawn again from them on the way back instead of kept.
    """
    apply: Callable[..., Tensor] = _Spread.apply  # torch leaves it untyped
    return apply(y, variance, columns, fused, *keys)
