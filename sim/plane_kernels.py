"""The numba kernels of `sim.bit_planes`: pack an image's bits, gather each pixel's rows, count, read out, add.

Every loop over bits and words is unrolled, and the innermost one, over columns, fills the processor's vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


@functools.cache
def _numba() -> Any:
    """Return numba, told to use the widest vectors that this processor counts bits in (its default: half of them)."""
    import numba
    from llvmlite import binding

    config: Any = numba.config
    features = binding.get_host_cpu_features()
    if config.CPU_FEATURES is None and features.get("avx512vpopcntdq"):
        config.CPU_NAME = config.CPU_NAME or binding.get_host_cpu_name()
        config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"
    return numba


def _jit(function: Callable[..., Any], *, inner: bool = True) -> Any:
    """Compile a function, `inner` to be called by compiled ones only: without doors for Python and C."""
    flags = {"no_cpython_wrapper": inner, "no_cfunc_wrapper": True}
    return _numba().njit(nogil=True, boundscheck=False, error_model="numpy", **flags)(function)


@functools.cache
def _popcount() -> Any:
    """Return the processor's population count of a word."""
    _numba()
    from numba.extending import intrinsic

    @intrinsic
    def popcount(typing: Any, word: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.ctpop(arguments[0])

        return word(word), code

    return popcount


def _pack(codes: Any, flat: Any, planes: Any, top: int, left: int) -> None:
    """Lay one image's codes (channels, pixels) out as planes (bits, words, height, width), zeros around."""
    channels, pixels = codes.shape
    flat[:] = 0
    for channel in range(channels):
        word, shift = channel // 32, np.uint32(channel % 32)
        for j in range(flat.shape[0]):
            for pixel in range(pixels):
                bit = (np.uint32(codes[channel, pixel]) >> np.uint32(j)) & np.uint32(1)
                flat[j, word, pixel] |= bit << shift
    width = planes.shape[3] - 2 * left
    for j in range(flat.shape[0]):
        for word in range(flat.shape[1]):
            for y in range(pixels // width):
                for x in range(width):
                    planes[j, word, top + y, left + x] = flat[j, word, y * width + x]


def _gather(planes: Any, table: Any, rows: int, columns: int, down: int, across: int, words: Any) -> None:
    """Collect what each output pixel sees: words (bits, words, pixels)."""
    words[:] = 0
    for j in range(planes.shape[0]):
        for m in range(len(table)):
            y0, x0, source, target = table[m, 0], table[m, 1], table[m, 2], table[m, 6]
            right, mask, left = np.uint32(table[m, 3]), np.uint32(table[m, 4]), np.uint32(table[m, 5])
            for y in range(rows):
                for x in range(columns):
                    word = planes[j, source, y * down + y0, x * across + x0]
                    words[j, target, y * columns + x] |= ((word >> right) & mask) << left


def _sum(length: int) -> Any:
    """Return ps(words, j, start, pixel, positive, negative, column) of a tile of `length` words, unrolled."""
    popcount = _popcount()

    def ps(words: Any, j: Any, start: Any, pixel: Any, positive: Any, negative: Any, column: Any) -> Any:
        total = np.int32(0)
        for w in range(length):
            word = words[j, start + w, pixel]
            total += np.int32(popcount(word & positive[start + w, column]))
            total -= np.int32(popcount(word & negative[start + w, column]))
        return np.float32(total)

    return _jit(ps)


def _by_length(tile: Callable[[Any], Any], lengths: tuple[int, ...]) -> Any:
    """Return a tile's kernel that picks, of those unrolled for these numbers of words, its own."""
    first, own = lengths[0], _jit(tile(_sum(lengths[0])))
    rest = _by_length(tile, lengths[1:]) if len(lengths) > 1 else own

    def last(length: Any, *arguments: Any) -> None:
        own(*arguments)

    def run(length: Any, *arguments: Any) -> None:
        if length == first:
            own(*arguments)
        else:
            rest(length, *arguments)

    return _jit(run if len(lengths) > 1 else last)


@functools.cache
def forward_kernel(reader: Callable[[Any, Any, Any], Any], bits: int, lengths: tuple[int, ...]) -> Any:
    """Return the compiled forward pass of some images: fills `out` (images, pixels, channels)."""
    read, pack, gather = _jit(reader), _jit(_pack), _jit(_gather)

    def tile(ps: Any) -> Any:
        def run(words: Any, start: Any, positive: Any, negative: Any, weight: Any, a: Any, b: Any, sums: Any) -> None:
            for pixel in range(sums.shape[0]):
                for column in range(sums.shape[1]):
                    total = sums[pixel, column]
                    for j in range(bits):
                        value = ps(words, j, start, pixel, positive, negative, column)
                        total += weight[j, column] * read(value, a[column], b[column])
                    sums[pixel, column] = total

        return run

    any_tile = _by_length(tile, lengths)

    def part(
        codes: Any, table: Any, starts: Any, positive: Any, negative: Any, shape: Any, weight: Any, a: Any, b: Any,
        out: Any,
    ) -> None:  # fmt: skip
        down, across, top, left, rows, columns = shape
        images, depth, height, width = codes.shape
        pixels, physical, channels = rows * columns, positive.shape[1], out.shape[2]
        flat = np.empty((bits, (depth + 31) // 32, height * width), np.uint32)
        planes = np.zeros((bits, (depth + 31) // 32, height + 2 * top, width + 2 * left), np.uint32)
        words = np.empty((bits, starts[-1], pixels), np.uint32)
        sums = np.empty((pixels, physical), np.float32)
        for image in range(images):
            pack(codes[image].reshape(depth, height * width), flat, planes, top, left)
            gather(planes, table, rows, columns, down, across, words)
            sums[:] = np.float32(0)
            for t in range(len(starts) - 1):
                length = starts[t + 1] - starts[t]
                any_tile(length, words, starts[t], positive, negative, weight[t], a[t], b[t], sums)
            for pixel in range(pixels):
                for channel in range(channels):
                    total = sums[pixel, channel]
                    for k in range(1, physical // channels):
                        total += sums[pixel, k * channels + channel]
                    out[image, pixel, channel] = total

    return _jit(part, inner=False)


@functools.cache
def backward_kernel(reader: Callable[[Any, Any, Any], Any], bits: int, lengths: tuple[int, ...]) -> Any:
    """Return the compiled gradients of some images: adds to `slopes`, fills `passed` (images, pixels, channels)."""
    read, pack, gather = _jit(reader), _jit(_pack), _jit(_gather)

    def tile(ps: Any) -> Any:
        def run(
            words: Any, start: Any, positive: Any, negative: Any, a: Any, b: Any, window: Any, part: Any,
            gradient: Any, slopes: Any, share: Any,
        ) -> None:  # fmt: skip
            values = np.empty((bits, share.shape[1]), np.float32)
            for pixel in range(share.shape[0]):
                for column in range(share.shape[1]):
                    for j in range(bits):
                        values[j, column] = ps(words, j, start, pixel, positive, negative, column)
                for j in range(bits):
                    for column in range(share.shape[1]):
                        slopes[j, column] += gradient[pixel, column] * read(values[j, column], a[column], b[column])
                for j in range(bits):
                    for column in range(share.shape[1]):
                        inside = np.float32(abs(values[j, column]) <= window[j, column])
                        share[pixel, column] += part[j, column] * inside

        return run

    any_tile = _by_length(tile, lengths)

    def part(
        codes: Any, table: Any, starts: Any, positive: Any, negative: Any, shape: Any, a: Any, b: Any, window: Any,
        weights: Any, gradient: Any, slopes: Any, passed: Any,
    ) -> None:  # fmt: skip
        down, across, top, left, rows, columns = shape
        images, depth, height, width = codes.shape
        pixels, physical, channels = rows * columns, positive.shape[1], passed.shape[2]
        slices = physical // channels
        flat = np.empty((bits, (depth + 31) // 32, height * width), np.uint32)
        planes = np.zeros((bits, (depth + 31) // 32, height + 2 * top, width + 2 * left), np.uint32)
        words = np.empty((bits, starts[-1], pixels), np.uint32)
        inside = np.empty((pixels, physical), np.float32)
        spread = np.empty((pixels, physical), np.float32)
        for image in range(images):
            pack(codes[image].reshape(depth, height * width), flat, planes, top, left)
            gather(planes, table, rows, columns, down, across, words)
            inside[:] = np.float32(0)
            for k in range(slices):
                spread[:, k * channels : (k + 1) * channels] = gradient[image]
            for t in range(len(starts) - 1):
                length, start = starts[t + 1] - starts[t], starts[t]
                any_tile(
                    length, words, start, positive, negative, a[t], b[t], window[t], weights, spread, slopes[t], inside
                )
            for pixel in range(pixels):
                for channel in range(channels):
                    total = inside[pixel, channel]
                    for k in range(1, slices):
                        total += inside[pixel, k * channels + channel]
                    passed[image, pixel, channel] = total * gradient[image, pixel, channel]

    return _jit(part, inner=False)
