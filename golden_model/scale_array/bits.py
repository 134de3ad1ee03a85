"""The array bit by bit: horizontal words, passes, carry and borrow chains, and when a stored sum can be read again.

It is written from the architecture and not from the integers of `model`, and a test holds both equal. Column logic:
the paper's Fig. 3d with one correction. Its multiplexers are drawn with O1 = A xor B as their select, input 1 AND or
Bin, which is wrong for sums and for differences; with XNOR as the select both truth tables are exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden_model.scale_array.config import PIPELINE, ScaleArrayConfig
from golden_model.scale_array.image import to_rows

Bits = NDArray[np.uint8]


def column(both: Bits, neither: Bits, scale: Bits, carry: Bits, subtract: Bits) -> tuple[Bits, Bits]:
    """Return one column's sum bit and what it hands to the next column.

    `both` is the AND of sum bit A and scale bit B, `neither` their NOR, as the two bit lines give them; `scale` is B,
    `carry` the carry, or the borrow where `subtract` is 1.

        O1 = NOR(AND, NOR) = A xor B      S = Cin ? ~O1 : O1      Cout = O1 ? Cin : AND      Bout = O1 ? B : Bin
    """
    differ = 1 - (both | neither)
    total = carry ^ differ
    carried = np.where(differ == 1, carry, both)
    borrowed = np.where(differ == 1, scale, carry)
    return total, np.where(subtract == 1, borrowed, carried).astype(np.uint8)


class Slot(NamedTuple):
    """One cycle of reading."""

    stream: int
    """The input bit."""
    number: int
    """The pass."""
    row: int
    """The row within the stream's rows of scales."""


def slots(config: ScaleArrayConfig) -> Iterator[Slot]:
    """Yield the slots in their order: streams, passes, rows (paper, Fig. 4)."""
    for stream in range(config.streams):
        for number in range(config.passes):
            for row in range(config.scale_bits):
                yield Slot(stream, number, row)


class Result(NamedTuple):
    """What the bits say of many arrays."""

    sums: NDArray[np.int64]
    """(arrays, columns), as they leave behind the last stream."""
    overflowed: NDArray[np.bool_]
    """(arrays, columns)."""
    cycles: int
    """Cycles until the last sum."""


def run(
    config: ScaleArrayConfig, scales: NDArray[np.int64], codes: NDArray[np.int64], *, binary_mode: bool = False
) -> Result:
    """Return what arrays with scales (streams, columns) make of codes (arrays, streams, columns), slot by slot.

    A sum that was read in slot n is in its row from slot n + 3 on. What a row holds before its first store is junk: a
    bit a column tells whether it was stored, and reads as 0 until then, so that no cycle goes into clearing (ours).
    """
    width, depth, passes = config.scale_bits, config.sum_bits, config.passes
    scale_rows = ((to_rows(config, scales)[:, :, None] >> np.arange(width)) & 1).astype(np.uint8)
    scale_rows = scale_rows.reshape(config.scale_rows, config.columns)
    arrays = len(codes)
    sum_rows = np.ones((arrays, depth, config.columns), np.uint8)
    stored = np.zeros((arrays, config.columns), np.bool_)
    sums = np.zeros((arrays, config.columns), np.int64)
    overflowed = np.zeros((arrays, config.columns), np.bool_)
    flying: deque[tuple[int, NDArray[np.int64], NDArray[np.int64], Bits, NDArray[np.bool_]]] = deque()
    taken = 0
    for slot in slots(config):
        words = np.arange(config.lanes) * passes + slot.number
        outputs = slot.row * config.words + words
        places = (words[:, None] * width + np.arange(depth)) % config.columns
        row = passes * slot.row + slot.number
        code = codes[:, slot.stream, outputs]
        works, subtract = ((code & 1) == 1) | binary_mode, (code >> 1).astype(np.uint8)
        held = sum_rows[:, row][:, places] * stored[:, outputs][..., None]
        scale = np.zeros((config.lanes, depth), np.uint8)  # beyond a scale word its bit lines are cut off: B is 0
        scale[:, :width] = scale_rows[slot.stream * width + slot.row][places[:, :width]]
        both, neither = held & scale, 1 - (held | scale)
        made, carry = np.zeros_like(held), np.zeros(works.shape, np.uint8)
        for bit in range(depth):
            chain = (both[..., bit], neither[..., bit], np.broadcast_to(scale[:, bit], works.shape), carry, subtract)
            made[..., bit], carry = column(*chain)
        sign_before, sign = held[..., -1], made[..., -1]
        lost = works & (sign_before != sign) & (sign_before == subtract)
        overflowed[:, outputs] |= lost
        made = np.where(works[..., None], made, held)
        if slot.stream == config.streams - 1:
            value = (made.astype(np.int64) << np.arange(depth)).sum(-1)
            sums[:, outputs] = value - (sign_of(made) << depth)
            works = np.zeros_like(works)
        flying.append((row, outputs, places, made, works))
        if len(flying) == PIPELINE:
            _store(sum_rows, stored, *flying.popleft())
        taken += 1
    return Result(sums, overflowed, taken + PIPELINE - 1)


def sign_of(words: Bits) -> NDArray[np.int64]:
    """Return the highest bit of words (..., bits)."""
    return words[..., -1].astype(np.int64)


def _store(
    sum_rows: Bits,
    stored: NDArray[np.bool_],
    row: int,
    outputs: NDArray[np.int64],
    places: NDArray[np.int64],
    made: Bits,
    works: NDArray[np.bool_],
) -> None:
    """Write the words that worked into their row."""
    kept = sum_rows[:, row][:, places]
    sum_rows[:, row, places] = np.where(works[..., None], made, kept)
    stored[:, outputs] |= works
