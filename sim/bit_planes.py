"""Bit planes: sums of AND and population count, a read-out on every one of them, all of it one pass over an image.

For one image, input bit j, row tile t and physical column c (a slice of a channel's weights):

    ps_jtc = popcount(x_jt & positive_tc) - popcount(x_jt & negative_tc)      exact, within +-rows of the tile
    sum_c  = sum over t and j of weight_tjc * read(ps_jtc, a_tc, b_tc)        float32; exact where it is of integers

and a channel is the sum of its slices. `read` is a comparator's (p in {-1, 0, +1}) or a converter's (a code). Planes
are packed 32 rows a word; nothing that has a plane's size is ever stored for more than one image. numba compiles one
kernel a read-out and number of planes; `sim.bit_slices` holds the same sums in plain torch, their reference and the
path of other devices.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

WORD = 32
"""Rows packed in a word."""
CHUNKS = 16
"""Parts of a batch that threads take, and that gradients are summed over in order: any thread count, the same bits."""

Reader = Callable[[Any, Any, Any], Any]
"""read(ps, a, b): what stands behind a column; plain arithmetic on three float32."""


def ternary(ps: Any, a: Any, b: Any) -> Any:
    """Return p of two comparators: +1 from a on, -1 down from b, both inclusive; with b = a - 1 binary: never 0."""
    return np.float32(np.float32(ps >= a) - np.float32(ps <= b))


def converter(low: int, high: int) -> Reader:
    """Return an ADC's reader, codes low .. high: floor(gain * ps + offset), a and b; offset 0.5 rounds half up."""
    least, most = np.float32(low), np.float32(high)

    def read(ps: Any, a: Any, b: Any) -> Any:
        return min(max(np.floor(ps * a + b), least), most)

    return read


class Packed(NamedTuple):
    """One layer's weights and the way from an image's pixels to the words of its tiles."""

    moves: NDArray[np.int64]
    """(moves, 7): y, x, source word, shift right, mask, shift left, target word."""
    starts: NDArray[np.int64]
    """First word of each tile, and the end: (tiles + 1,)."""
    positive: NDArray[np.uint32]
    """(words, physical columns)."""
    negative: NDArray[np.uint32]
    stride: tuple[int, int]
    padding: tuple[int, int]
    size: tuple[int, int]
    """Height and width of the result."""
    channels: int
    """Output channels: physical column k * channels + c is slice k of channel c."""


class Readout(NamedTuple):
    """What stands behind each column, float32."""

    weight: NDArray[np.float32]
    """(tiles, planes, physical columns)."""
    a: NDArray[np.float32]
    """(tiles, physical columns), as the reader takes them."""
    b: NDArray[np.float32]


def moves(runs: list[tuple[int, int, int, int]], edges: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return moves and tile starts for rows that lie one after another: runs of (y, x, first channel, channels).

    `edges`: the flat rows at which tiles begin, and the end. Every tile begins a word of its own.
    """
    starts = np.cumsum([0, *(-(-(high - low) // WORD) for low, high in itertools.pairwise(edges))])
    table: list[tuple[int, ...]] = []
    row = tile = 0
    for y, x, first, channels in runs:
        channel = first
        while channel < first + channels:
            while row == edges[tile + 1]:
                tile += 1
            place = row - edges[tile]
            bit, shift = channel % WORD, place % WORD
            count = min(first + channels - channel, WORD - bit, WORD - shift, edges[tile + 1] - row)
            mask = (1 << count) - 1
            table.append((y, x, channel // WORD, bit, mask, shift, int(starts[tile]) + place // WORD))
            channel, row = channel + count, row + count
    return np.array(table, np.int64).reshape(-1, 7), starts.astype(np.int64)


def pack_rows(values: NDArray[np.bool_], edges: list[int]) -> NDArray[np.uint32]:
    """Return bits (rows, columns) as words (words, columns), each tile of rows from a word of its own."""
    parts = []
    for low, high in itertools.pairwise(edges):
        bits = np.pad(values[low:high], ((0, -(high - low) % WORD), (0, 0))).reshape(-1, WORD, values.shape[1])
        parts.append((bits.astype(np.uint32) << np.arange(WORD, dtype=np.uint32)[:, None]).sum(1, dtype=np.uint32))
    return np.ascontiguousarray(np.concatenate(parts))


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
def _forward(reader: Reader, bits: int, lengths: tuple[int, ...]) -> Any:
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
def _backward(bits: int, lengths: tuple[int, ...]) -> Any:
    """Return the compiled gradients of some images: adds to `slopes`, fills `passed` (images, pixels, channels)."""
    read, pack, gather = _jit(ternary), _jit(_pack), _jit(_gather)

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


def forward(codes: torch.Tensor, packed: Packed, readout: Readout, reader: Reader) -> torch.Tensor:
    """Return sums (images, channels, height, width), float32, channels last, for codes (images, inputs, height, width).

    `codes`: uint8, contiguous; their lowest `planes` bits count. Threads: torch's number of them.
    """
    out = np.empty((len(codes), packed.size[0] * packed.size[1], packed.channels), np.float32)
    given, run = codes.numpy(), _forward(reader, readout.weight.shape[1], _lengths(packed))
    shape = (*packed.stride, *packed.padding, *packed.size)

    def chunk(images: slice, _: int) -> None:
        run(given[images], *packed[:4], shape, readout.weight, readout.a, readout.b, out[images])

    _parallel(chunk, len(codes))
    return torch.from_numpy(out).view(-1, *packed.size, packed.channels).permute(0, 3, 1, 2)


def backward(
    codes: torch.Tensor,
    packed: Packed,
    readout: Readout,
    window: NDArray[np.float32],
    part: NDArray[np.float32],
    gradient: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of comparators' sums, which are computed again rather than stored.

    slopes_tjc = sum over images and pixels of gradient * p_tjc, (tiles, planes, physical columns)
    passed     = gradient * sum over t, j and slices of part_jc [|ps_tjc| <= window_tjc]

    `gradient`, `passed`: (images, channels, height, width).
    """
    given = np.ascontiguousarray(gradient.permute(0, 2, 3, 1).reshape(len(codes), -1, packed.channels).numpy())
    passed, run = np.empty_like(given), _backward(readout.weight.shape[1], _lengths(packed))
    slopes = np.zeros((CHUNKS, *readout.weight.shape), np.float32)
    values, shape = codes.numpy(), (*packed.stride, *packed.padding, *packed.size)

    def chunk(images: slice, number: int) -> None:
        args = (readout.a, readout.b, window, part, given[images], slopes[number], passed[images])
        run(values[images], *packed[:4], shape, *args)

    _parallel(chunk, len(codes))
    spread = torch.from_numpy(passed).view(-1, *packed.size, packed.channels).permute(0, 3, 1, 2)
    return torch.from_numpy(slopes.sum(0)), spread


def _lengths(packed: Packed) -> tuple[int, ...]:
    """Return the numbers of words that a layer's tiles have."""
    return tuple(sorted(set(np.diff(packed.starts).tolist())))


def _parallel(run: Callable[[slice, int], None], images: int) -> None:
    """Call run(images, number) for the `CHUNKS` parts of a batch, on torch's number of threads."""
    cuts = [images * n // CHUNKS for n in range(CHUNKS + 1)]
    jobs = [(slice(low, high), n) for n, (low, high) in enumerate(itertools.pairwise(cuts)) if high > low]
    for first in jobs[:1]:
        run(*first)  # alone: numba compiles only once
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        list(pool.map(lambda job: run(*job), jobs[1:]))
