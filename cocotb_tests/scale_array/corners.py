"""Directed arrays: patterns of p from all zero to all -1, chains of carries and borrows, sums aimed at their ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import numpy as np

from cocotb_tests.contract import Stimulus
from cocotb_tests.ports import Integers
from cocotb_tests.scale_array.stimulus import Arrays, random_codes, random_scales, stimulus
from golden_model.scale_array.config import ScaleArrayConfig

ROUND = 12
"""Batches after which every kind of corner had its turn in either mode."""
PATTERNS = (0, 1, 3, 2)
"""Codes that fill whole arrays."""


def _patterns(config: ScaleArrayConfig) -> Integers:
    """Return arrays of one code, of one code a stream, of one that works among others that do not, and chessboards."""
    shape = (config.streams, config.columns)
    whole = [np.full(shape, code) for code in PATTERNS]
    stream, column = np.indices(shape)
    boards = [np.where((stream + column) % 2 == turn, 0, 3 - 2 * (column // 2 % 2)) for turn in (0, 1)]
    words = [np.where(column // step % 2 == turn, 0, 1 + 2 * (stream % 2)) for step in (2, 4) for turn in (0, 1)]
    ends = [np.where(stream == at, code, 0) for at in (0, config.streams - 1) for code in (1, 3)]
    return np.stack([*whole, *boards, *words, *ends]).astype(np.int64)


def _chains(config: ScaleArrayConfig, rng: np.random.Generator) -> Arrays:
    """Return sums that go from 0 to -1 and back: borrows and carries run through whole words, wrapped ones included."""
    scales = np.ones((config.streams, config.columns), np.int64)
    turns = np.array([[3, 1], [1, 3]])[rng.integers(0, 2, (8, config.columns))]  # (arrays, columns, 2)
    pattern = np.tile(np.moveaxis(turns, -1, 1), (1, -(-config.streams // 2), 1))[:, : config.streams]
    pattern[4:] = np.where(rng.random(pattern[4:].shape) < 0.3, 0, pattern[4:])
    return Arrays(scales=scales, codes=pattern.astype(np.int64), binary=False)


def _aimed(config: ScaleArrayConfig, rng: np.random.Generator) -> Arrays:
    """Return sums aimed at either end of the range and one beyond, by scales that add up to it, then on or back."""
    top, columns = config.scale_range.hi, config.columns
    low, high = config.sum_range.lo, config.sum_range.hi
    goals = rng.choice([high - 1, high, high + 1, low + 1, low, low - 1], columns)
    left, scales, codes = np.abs(goals), [], []
    for _ in range(config.streams):
        step = np.minimum(left, top)
        done = left == 0
        scales.append(np.where(done, rng.integers(0, top, columns, endpoint=True), step))
        codes.append(np.where(done, rng.choice([0, 1, 3], columns), np.where(goals > 0, 1, 3)))
        left = left - step
    order = rng.permutation(config.streams)
    straight, mixed = np.stack(codes), np.stack(codes)[order]
    scale_rows = np.stack(scales)
    shuffled = rng.random() < 0.5
    return Arrays(
        scales=scale_rows[order] if shuffled else scale_rows,
        codes=np.stack([mixed if shuffled else straight] * 2 + list(random_codes(config, rng, 2))).astype(np.int64),
        binary=False,
    )


def _every_code(config: ScaleArrayConfig, rng: np.random.Generator) -> Integers:
    """Return scales that go through every code in every lane, as far as the columns go."""
    place = np.arange(config.streams * config.columns).reshape(config.streams, config.columns)
    codes = (place * 5 + int(rng.integers(1 << config.scale_bits))) % (1 << config.scale_bits)
    return codes.astype(np.int64)


def corners(config: ScaleArrayConfig, rng: np.random.Generator, limit: int | None) -> Iterator[Stimulus]:
    """Yield directed batches, `limit` of them or three rounds."""

    def batches() -> Iterator[Arrays]:
        top = config.scale_range.hi
        for number in count():
            binary, kind = number // (ROUND // 2) % 2 == 1, number % (ROUND // 2)
            full = np.full((config.streams, config.columns), top, np.int64)
            if kind == 0:
                yield Arrays(scales=full, codes=_patterns(config), binary=binary)
            elif kind == 1:
                yield Arrays(scales=_every_code(config, rng), codes=_patterns(config), binary=binary)
            elif kind in (2, 3):
                yield _chains(config, rng) if kind == 2 else _aimed(config, rng)
            elif kind == 4:
                yield Arrays(scales=random_scales(config, rng), codes=random_codes(config, rng, 12), binary=binary)
            else:
                bits = np.int64(1) << rng.integers(0, config.scale_bits, full.shape)
                codes = np.concatenate([random_codes(config, rng, 6), _patterns(config)[:4]])
                yield Arrays(scales=bits, codes=codes, binary=binary)

    for given in islice(batches(), 3 * ROUND if limit is None else limit):
        yield stimulus(config, given)
