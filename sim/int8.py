"""The products of an array in 8-bit integer instructions: the same sums as in float32, several times faster.

Codes have 7 bits and no sign, conductances 9 bits: w = 2 a + 2 b + c with a, b, c of 8 bits, so that

    sum x w = sum (2x) a + (2x) b + x c

is one convolution of three times as many channels, unsigned 8-bit codes by signed 8-bit weights, summed in 32 bits
(oneDNN). Every sum stays below 2**24, so that it is exact in the float32 that leaves. Processors that add pairs of
products in 16 bits (before VNNI) would saturate: `stands` tries the largest products and looks.
"""

from __future__ import annotations

import functools
import platform

import torch
from torch import Tensor

LARGEST_CODE = 127
"""Codes are 0 .. this."""

Pair = tuple[int, int]
"""Vertical and horizontal."""


def split(weight: Tensor) -> Tensor:
    """Return integer weights (lines, channels, ...) as int8 (lines, 3 * channels, ...): a, b, c side by side."""
    half = (weight / 2).trunc()
    a = half.clip(-127, 127)
    b = (half - a).clip(-127, 127)
    return torch.cat([a, b, weight - 2 * (a + b)], 1).to(torch.int8)


def spread(*codes: Tensor) -> tuple[Tensor, ...]:
    """Return codes (images, channels, height, width) as `Convolution` takes them: uint8, three times the channels."""
    single = [c.to(torch.uint8) for c in codes]
    return tuple(torch.cat([2 * c, 2 * c, c], 1).contiguous(memory_format=torch.channels_last) for c in single)


class Convolution:
    """Integer weights (lines, channels, kernel height, kernel width) in the library's own order of `split`."""

    def __init__(self, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> None:
        lines = len(weight)
        self._ones, self._zeros = torch.ones(lines), torch.zeros(lines, dtype=torch.int64)
        self._shape = (stride, padding, dilation, 1)
        pack = torch.ops.onednn.qconv_prepack
        self._weight = pack(split(weight).contiguous(), self._ones, 1.0, 0, *self._shape, None)

    def __call__(self, codes: Tensor) -> Tensor:
        """Return the sums of codes that `spread` made: float32 (images, lines, height, width), channels last."""
        run = torch.ops.onednn.qconv2d_pointwise
        scales = (self._ones, self._zeros, None)
        result: Tensor = run(
            codes, 1.0, 0, self._weight, *scales, *self._shape, 1.0, 0, torch.float32, "none", [], ""
        )  # fmt: skip
        return result


@functools.cache
def stands() -> bool:
    """Return whether this processor and this torch compute such sums exactly: tried on the largest ones."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    codes = torch.full((1, 28, 3, 3), float(LARGEST_CODE)).contiguous(memory_format=torch.channels_last)
    weight = torch.tensor([511.0, -511.0, 255.0]).view(3, 1, 1, 1).expand(3, 28, 3, 3)
    try:
        found = Convolution(weight, (1, 1), (0, 0), (1, 1))(*spread(codes))
    except (AttributeError, RuntimeError, TypeError):  # a torch without these operations, or with others
        return False
    return torch.equal(found, torch.nn.functional.conv2d(codes, weight))
