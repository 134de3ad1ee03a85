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

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sim.plane_kernels import backward_kernel, forward_kernel

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


def forward(codes: torch.Tensor, packed: Packed, readout: Readout, reader: Reader) -> torch.Tensor:
    """Return sums (images, channels, height, width), float32, channels last, for codes (images, inputs, height, width).

    `codes`: uint8, contiguous; their lowest `planes` bits count. Threads: torch's number of them.
    """
    out = np.empty((len(codes), packed.size[0] * packed.size[1], packed.channels), np.float32)
    given, run = codes.numpy(), forward_kernel(reader, readout.weight.shape[1], _lengths(packed))
    shape = (*packed.stride, *packed.padding, *packed.size)

    def chunk(images: slice, _: int) -> None:
        run(given[images], *packed[:4], shape, readout.weight, readout.a, readout.b, out[images])

    _parallel(chunk, len(codes), first_alone=not run.signatures)
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
    passed, run = np.empty_like(given), backward_kernel(ternary, readout.weight.shape[1], _lengths(packed))
    slopes = np.zeros((CHUNKS, *readout.weight.shape), np.float32)
    values, shape = codes.numpy(), (*packed.stride, *packed.padding, *packed.size)

    def chunk(images: slice, number: int) -> None:
        args = (readout.a, readout.b, window, part, given[images], slopes[number], passed[images])
        run(values[images], *packed[:4], shape, *args)

    _parallel(chunk, len(codes), first_alone=not run.signatures)
    spread = torch.from_numpy(passed).view(-1, *packed.size, packed.channels).permute(0, 3, 1, 2)
    return torch.from_numpy(slopes.sum(0)), spread


def _lengths(packed: Packed) -> tuple[int, ...]:
    """Return the numbers of words that a layer's tiles have."""
    return tuple(sorted(set(np.diff(packed.starts).tolist())))


def _parallel(run: Callable[[slice, int], None], images: int, *, first_alone: bool) -> None:
    """Call run(images, number) for the `CHUNKS` parts of a batch, on torch's number of threads.

    `first_alone`: before the others, so that numba compiles only once.
    """
    cuts = [images * n // CHUNKS for n in range(CHUNKS + 1)]
    jobs = [(slice(low, high), n) for n, (low, high) in enumerate(itertools.pairwise(cuts)) if high > low]
    for job in jobs[:first_alone]:
        run(*job)
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        list(pool.map(lambda job: run(*job), jobs[first_alone:]))
