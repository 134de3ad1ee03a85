"""Counter-based noise: the same deviate for the same (seed, layer, tile, image, pixel, column), in any order.

A 32-bit hash of row key and column key picks two normal deviates (one a polarity) from a table: logarithm and cosine
differ between eager and compiled code and between vector lengths, a look-up does not.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

TABLE_BITS = 12
"""The table holds 4,096 quantiles: +-3.67 sigma, 16 KB, so that it stays in the first-level cache."""

_MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
"""Odd multipliers with low bias (Wellons, hash-prospector, lowbias32; public domain)."""


@functools.cache
def normal_table() -> Tensor:
    """Return the deviates: midpoint quantiles of the standard normal, scaled to unit variance, on a 2**-12 grid."""
    quantiles = ndtri((np.arange(1 << TABLE_BITS) + 0.5) / (1 << TABLE_BITS))
    quantiles /= np.sqrt(np.mean(quantiles**2))
    return torch.from_numpy((np.rint(quantiles * 4096) / 4096).astype(np.float32))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


def mix(value: Tensor) -> Tensor:
    """Return a 32-bit hash of int32 values (multiplications wrap): xor-shift, multiply, twice."""
    value = value ^ ((value >> 16) & 0xFFFF)
    value = value * _signed(_MULTIPLIERS[0])
    value = value ^ ((value >> 15) & 0x1FFFF)
    value = value * _signed(_MULTIPLIERS[1])
    return value ^ ((value >> 16) & 0xFFFF)


def key(*parts: int) -> int:
    """Return one int32 key of several integers (seed, layer, tile)."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32).view(np.int32)[0])


def row_keys(base: int, images: Tensor, pixels: int) -> Tensor:
    """Return int32 keys, shape (images * pixels,), of each (image, pixel) under a base key."""
    index = torch.arange(pixels, dtype=torch.int32, device=images.device)
    per_image = mix(images.to(torch.int32) ^ base)
    return mix(per_image[:, None] + index).flatten()


def column_keys(columns: int, device: torch.device | None = None) -> Tensor:
    """Return int32 keys, shape (columns,)."""
    return mix(torch.arange(columns, dtype=torch.int32, device=device) ^ 0x5BD1E995)


def normal_pair(rows: Tensor, columns: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return two independent deviates, each (rows, columns), for row keys and column keys."""
    hashed = mix(rows[:, None] ^ columns)
    mask = (1 << TABLE_BITS) - 1
    return table[hashed & mask], table[(hashed >> 16) & mask]
