"""Corner and seeded random stimulus of the NMPU, for cocotb and for plain tests.

A `Batch` is a stretch of vectors under one set of parameters. Random batches draw every magnitude; corner batches put
each parameter at its extremes and **aim** operands: a bisection over the golden model itself finds the operand at which
a stage hits an exact tie, the last code before a saturation, or the first one beyond it. Nothing here decides what is
right: `trace` calls the golden functions, stage by stage, and keeps what they return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle, islice, zip_longest
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from golden_model.fixed import Range
from golden_model.nmpu import Fixed, Output, accumulate, add_residual, affine, batch_norm, compress, relu, requantise
from golden_model.nmpu import nmpu as golden
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig

Integers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """The layer registers of the unit: what a whole batch has in common."""

    layer: Layer = field(default_factory=Layer)
    """Layer shift and ReLU enables."""
    receive: bool = False
    """Whether the partial sum of a tile before is added."""
    add_residual: bool = False
    """Whether the residual operand is added."""
    last: bool = True
    """Whether this is the last tile: codes leave, not partial sums."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Words:
    """Operands of whole vectors, arrays (vectors, units * columns); 0 where the unit has no such port."""

    first: Integers
    """Counts p, or the signed code."""
    second: Integers
    """Counts n."""
    received: Integers
    """Partial sums of the tile before; driven, and ignored by the unit, where `Mode.receive` is false."""
    residual: Integers
    """Residual operands; driven, and ignored by the unit, where nothing is to be added."""

    @staticmethod
    def ranges(config: NmpuConfig) -> dict[str, Range]:
        """Return, by field, what its port takes; a port that the unit lacks takes only 0."""
        none = Range(0, 0)
        return {
            "first": config.input_range,
            "second": config.input_range if config.input is Input.COUNTS else none,
            "received": config.sum_range if config.partial_sum else none,
            "residual": config.residual_input.range if config.residual else none,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Vectors under one set of parameters (one entry a column in every field) and one mode."""

    columns: Columns
    """What the parameter store holds."""
    mode: Mode
    """What the layer registers hold."""
    words: Words
    """What is streamed."""

    def expected(self, config: NmpuConfig) -> Output:
        """Return what the golden model says, values and saturation of every element."""
        mode, words = self.mode, self.words
        return golden(
            config,
            self.columns,
            mode.layer,
            words.first,
            words.second,
            received=words.received if mode.receive else None,
            residual=words.residual if mode.add_residual else None,
            last=mode.last,
        )


class Trace(NamedTuple):
    """Golden intermediates of a batch; None where its path leaves a stage out."""

    affine: Fixed
    """T."""
    total: Integers | None
    """The sum before it saturates."""
    kept: Integers | None
    """The sum after it saturated."""
    entry: Fixed | None
    """What enters the last stages, behind a batch norm; None where the tile is not the last."""
    joined: Fixed | None
    """Behind the residual adder, before the last ReLU."""
    final: Fixed | None
    """What is requantised."""
    output: Output
    """What leaves the unit."""


def trace(config: NmpuConfig, batch: Batch) -> Trace:
    """Return the golden intermediates of a batch: `golden_model.nmpu.nmpu` written out, a test holds them equal."""
    mode, columns, layer, words = batch.mode, batch.columns, batch.mode.layer, batch.words
    corrected = affine(config, columns, layer, words.first, words.second)
    total = kept = None
    entry, saturated = corrected, np.zeros(words.first.shape, bool)
    if mode.receive or not mode.last or config.batch_norm:
        received = words.received * mode.receive
        total = compress(config, corrected) + received
        kept, saturated = accumulate(config, compress(config, corrected), received)
        if not mode.last:
            return Trace(corrected, total, kept, None, None, None, Output(kept, saturated))
        entry = batch_norm(config, columns, kept) if config.batch_norm else Fixed(kept, config.sum_fraction)
    joined = relu(entry) if layer.relu_before else entry
    if mode.add_residual:
        joined = add_residual(config, columns, joined, words.residual)
    final = relu(joined) if layer.relu_after else joined
    code, clipped = requantise(config, final)
    return Trace(corrected, total, kept, entry, joined, final, Output(code, clipped | saturated))


def draw(rng: np.random.Generator, allowed: Range, shape: tuple[int, ...]) -> Integers:
    """Return integers of every magnitude: uniform ones shifted right by a uniform amount, and 1 in 8 an extreme."""
    wide = rng.integers(allowed.lo, allowed.hi, shape, endpoint=True)
    scaled = wide >> rng.integers(0, max(allowed.signed_bits, 2), shape)
    mixed = np.where(rng.random(shape) < 0.125, rng.choice([allowed.lo, 0, 1, allowed.hi], shape), scaled)
    return np.clip(mixed, allowed.lo, allowed.hi).astype(np.int64)


def random_columns(config: NmpuConfig, rng: np.random.Generator) -> Columns:
    """Return random parameters; one column in 16 is dead (every field 0)."""
    shape = (config.units * config.columns,)
    alive = rng.random(shape) >= 1 / 16
    return Columns(**{name: draw(rng, allowed, shape) * alive for name, allowed in Columns.ranges(config).items()})


def modes(config: NmpuConfig) -> list[Mode]:
    """Return every setting of the layer registers that the unit has, with the layer shift 0, 1 and largest."""
    found = []
    for bits in range(32):
        last, receive, residual, before, after = (bool(bits >> index & 1) for index in range(5))
        if (receive or not last) and not config.partial_sum:
            continue
        if (residual or before) and not config.residual:
            continue
        if (before or after) and not config.relu:
            continue
        for shift in sorted({0, min(1, config.max_layer_shift), config.max_layer_shift}):
            layer = Layer(shift=shift, relu_before=before, relu_after=after)
            found.append(Mode(layer=layer, receive=receive, add_residual=residual, last=last))
    return found


def random_mode(config: NmpuConfig, rng: np.random.Generator) -> Mode:
    """Return one of `modes`, with any layer shift."""
    possible = modes(config)
    chosen = possible[int(rng.integers(len(possible)))]
    shift = int(draw(rng, Range(0, config.max_layer_shift), (1,))[0])
    return replace(chosen, layer=replace(chosen.layer, shift=shift))


def random_words(config: NmpuConfig, rng: np.random.Generator, vectors: int) -> Words:
    """Return random operands of `vectors` whole vectors."""
    shape = (vectors, config.units * config.columns)
    return Words(**{name: draw(rng, allowed, shape) for name, allowed in Words.ranges(config).items()})


def random_batch(config: NmpuConfig, rng: np.random.Generator, vectors: int) -> Batch:
    """Return random vectors under random parameters and a random mode."""
    columns, mode = random_columns(config, rng), random_mode(config, rng)
    return Batch(columns=columns, mode=mode, words=random_words(config, rng, vectors))


def corner_values(allowed: Range) -> list[int]:
    """Return the codes worth a column of their own: both ends and their neighbours, 0 and its, powers of two."""
    values = {allowed.lo, allowed.lo + 1, allowed.hi - 1, allowed.hi, -3, -2, -1, 0, 1, 2, 3}
    values |= {sign << bit for bit in range(allowed.signed_bits) for sign in (1, -1)}
    return sorted(value for value in values if allowed.lo <= value <= allowed.hi)


def corner_columns(config: NmpuConfig, rng: np.random.Generator, sets: int) -> Iterator[Columns]:
    """Yield at least `sets` parameter sets in which every corner value of every field occurs.

    Each such value stands in a column whose other fields are drawn at random, half of them from the corner values; a
    dead column, columns of lower and of upper ends, and columns in which T reaches both its ends come first.
    """
    ranges = Columns.ranges(config)
    ends = {name: (allowed.lo, allowed.hi) for name, allowed in ranges.items()}
    corners = {name: corner_values(allowed) for name, allowed in ranges.items()}
    rows = [dict.fromkeys(corners, 0)]
    rows += [{name: values[end] for name, values in corners.items()} for end in (0, -1)]
    for offset in (corners["offset"][0], corners["offset"][-1]):
        for shift in (0, config.max_column_shift):  # with counts at their ends, T spans its whole range
            widest = {"scale_p": config.scale.range.hi, "scale_n": corners["scale_n"][-1], "offset": offset}
            rows.append(dict.fromkeys(corners, 0) | widest | {"shift": shift})
    for name, values in corners.items():
        for value in values if len(values) > 1 else []:
            drawn = {other: int(rng.integers(*ends[other], endpoint=True)) for other in corners}
            rows.append({n: v if rng.random() < 0.5 else int(rng.choice(corners[n])) for n, v in drawn.items()})
            rows[-1][name] = value
    count = config.units * config.columns
    supply = cycle(rows)
    for _ in range(max(sets, -(-len(rows) // count))):
        chosen = list(islice(supply, count))
        places = rng.permutation(count)
        yield Columns(**{name: np.array([row[name] for row in chosen], np.int64)[places] for name in corners})


Goal: TypeAlias = Callable[[Trace], Any]
"""The distance of a stage from what is aimed at, one row an aim; its sign steers the bisection."""


def _aim(config: NmpuConfig, batch: Batch, name: str, goal: Goal) -> Words:
    """Return the words with operand `name` where `goal` reaches 0, by bisection: every stage is monotonic in it."""
    allowed = Words.ranges(config)[name]

    def reaches(operand: Integers) -> Mask:
        aimed = replace(batch, words=replace(batch.words, **{name: operand}))
        return np.broadcast_to(np.asarray(goal(trace(config, aimed)) >= 0), operand.shape)

    low = np.full(batch.words.first.shape, allowed.lo, np.int64)
    high = np.full(batch.words.first.shape, allowed.hi, np.int64)
    rising = ~reaches(low)
    for _ in range((allowed.hi - allowed.lo).bit_length()):
        middle = (low + high) >> 1
        right = reaches(middle) == rising
        low, high = np.where(right, low, np.minimum(middle + 1, high)), np.where(right, middle, high)
    return replace(batch.words, **{name: np.where(rising, high, np.maximum(high - 1, allowed.lo))})


def _halves(stage: str, wholes: Integers, kept: int) -> Goal:
    """Aim `stage` at every whole and at every whole + 1/2 of the LSB that a rounding to `kept` fraction bits leaves."""

    def goal(found: Trace) -> Integers:
        total: Fixed = getattr(found, stage)
        unit = np.int64(1) << np.maximum(np.asarray(total.fraction) - kept, 0)
        aims = np.concatenate([wholes * unit, wholes * unit + (unit >> 1)])
        return np.asarray(total.integers - aims)

    return goal


def _goals(config: NmpuConfig, sample: Trace) -> Iterator[tuple[int, Goal]]:
    """Yield what to aim at, and how many rows it takes: ties of either parity and sign, both sides of saturation."""
    near = np.array([-2, -1, 0, 1], np.int64)[:, None]
    if sample.joined is not None:
        low, high = config.output.range.lo << config.cut_post, config.output.range.hi << config.cut_post
        beyond = high + (1 << config.cut_post)
        wholes = np.array([-2, -1, 0, 1, low - 1, low, high, beyond - 1, beyond], np.int64)[:, None]
        yield 2 * len(wholes), _halves("joined", wholes, 0)
    if sample.total is not None:
        limits = config.sum_range
        ends = np.array([limits.lo - 1, limits.lo, limits.hi, limits.hi + 1], np.int64)[:, None]
        yield len(ends), lambda found: np.asarray(found.total) - ends
        yield 2 * len(near), _halves("affine", near, config.sum_fraction)


def _extremes(ranges: dict[str, Range]) -> list[tuple[int, ...]]:
    """Return operand tuples: all 0, all low, all high, and each operand alone at either end, at -1 and at 1."""
    zero = tuple(0 for _ in ranges)
    rows = [zero, tuple(allowed.lo for allowed in ranges.values()), tuple(allowed.hi for allowed in ranges.values())]
    for index, allowed in enumerate(ranges.values()):
        for value in (allowed.lo, -1, 1, allowed.hi):
            if allowed.lo <= value <= allowed.hi:
                rows.append((*zero[:index], value, *zero[index + 1 :]))
    return list(dict.fromkeys(rows))


def corner_batch(config: NmpuConfig, rng: np.random.Generator, columns: Columns, mode: Mode) -> Batch:
    """Return a batch of extremes and aimed operands under given parameters; some 30 to 110 vectors."""
    ranges = Words.ranges(config)
    operands = [name for name in ("first", "second", "received") if ranges[name] != Range(0, 0)]
    if not mode.receive and "received" in operands:
        operands.remove("received")
    ends = np.array(_extremes(ranges), np.int64)
    spread = np.ones(config.units * config.columns, np.int64)
    parts = [Words(**{name: ends[:, index, None] * spread for index, name in enumerate(ranges)})]
    sample = trace(config, Batch(columns=columns, mode=mode, words=parts[0]))
    for rows, goal in _goals(config, sample):
        for name in operands:
            start = Batch(columns=columns, mode=mode, words=random_words(config, rng, rows))
            parts.append(_aim(config, start, name, goal))
    words = Words(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in ranges})
    return Batch(columns=columns, mode=mode, words=words)


def _mixed(rng: np.random.Generator, possible: list[Mode]) -> list[Mode]:
    """Return modes in random order, taking turns: plain last tiles, last tiles with a ReLU, tiles that send sums."""
    order = [possible[index] for index in rng.permutation(len(possible))]
    groups: dict[int, list[Mode]] = {0: [], 1: [], 2: []}
    for mode in order:
        groups[(1 + (mode.layer.relu_before or mode.layer.relu_after)) * mode.last].append(mode)
    turns = zip_longest(groups[1], groups[2], groups[0])
    return [mode for turn in turns for mode in turn if mode is not None]


def corner_batches(config: NmpuConfig, rng: np.random.Generator, limit: int | None = None) -> Iterator[Batch]:
    """Yield corner batches, at most `limit`: all modes and all corner values of all parameters, paired at random."""
    order = _mixed(rng, modes(config))
    supply = corner_columns(config, rng, max(len(order), 4))
    for columns, mode in islice(zip(supply, cycle(order), strict=False), limit):
        yield corner_batch(config, rng, columns, mode)
