"""What a bench does with one batch: how parameters are loaded, how both streams stall, where a reset falls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from golden_model.nmpu_config import NmpuConfig
from golden_model.vectors import Batch, corner_batches, random_batch, random_words


class Load(Enum):
    """How the parameters of a batch reach the unit."""

    FULL = "full"
    """Every column once, all fields, in random order; the layer registers somewhere among them."""
    PARTS = "parts"
    """Only what differs, each column in several masked writes with junk in the masked fields, in random order."""
    KEEP = "keep"
    """Nothing is written: the batch runs under the parameters of the one before."""


class Stall(Enum):
    """When one side of a stream does not take part."""

    NEVER = "never"
    """Full speed."""
    SELDOM = "seldom"
    """One cycle in four."""
    OFTEN = "often"
    """Three cycles in four."""
    BURSTS = "bursts"
    """Runs of some 6 cycles, of either kind."""
    LONG = "long"
    """Now and then for 40 cycles, longer than the pipeline."""

    def pattern(self, rng: np.random.Generator, cycles: int = 512) -> list[bool]:
        """Return, by cycle, whether the side takes part; at least once in the pattern."""
        if self is Stall.NEVER:
            return [True] * cycles
        if self is Stall.LONG:
            runs = [(False, 40), *((index % 2 == 0, int(rng.integers(1, 4))) for index in range(12))]
            takes = [take for take, length in runs for _ in range(length)]
        elif self is Stall.BURSTS:
            takes = [index % 2 == 0 for index in range(cycles // 8) for _ in range(int(rng.integers(1, 12)))]
        else:
            takes = [bool(draw >= (0.25 if self is Stall.SELDOM else 0.75)) for draw in rng.random(cycles)]
        return [*takes, True]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """One batch and what happens to it."""

    batch: Batch
    """Parameters, mode and words."""
    corner: bool
    """Whether it counts as corners or as random words."""
    load: Load
    """How its parameters are written."""
    source: Stall = Stall.NEVER
    """Stalls of the input stream."""
    sink: Stall = Stall.NEVER
    """Stalls of the output stream."""
    reset_after: int | None = None
    """Accepted words after which a reset falls; the rest of the batch is not sent."""


STALLS = tuple(Stall)


def _stalls(rng: np.random.Generator) -> tuple[Stall, Stall]:
    """Return the stalls of source and sink; full speed on both sides in one batch of four."""
    if rng.random() < 0.25:
        return Stall.NEVER, Stall.NEVER
    return STALLS[int(rng.integers(len(STALLS)))], STALLS[int(rng.integers(len(STALLS)))]


def _followers(config: NmpuConfig, rng: np.random.Generator, before: Batch) -> Iterator[Scenario]:
    """Yield a batch that a reset cuts off, inside a vector if it can, and one under the parameters that outlive it."""
    words = random_words(config, rng, 40)
    cut = int(rng.integers(8, 24)) * config.columns + int(rng.integers(config.columns))
    source, sink = _stalls(rng)
    broken = replace(before, words=words)
    yield Scenario(batch=broken, corner=False, load=Load.KEEP, source=source, sink=sink, reset_after=cut)
    kept = replace(before, words=random_words(config, rng, 4))
    yield Scenario(batch=kept, corner=False, load=Load.KEEP)


def scenarios(config: NmpuConfig, seed: int, words: int, corners: int | None) -> Iterator[Scenario]:
    """Yield the corners of a configuration, then at least `words` random words; the same for the same seed.

    One batch in six is followed by one that a reset cuts off and by one under the parameters that outlive the reset.
    """
    rng = np.random.default_rng([seed, config.units, config.columns])

    def following(number: int, batch: Batch) -> Iterator[Scenario]:
        if number % 6 == 1:
            yield from _followers(config, rng, batch)

    for number, batch in enumerate(corner_batches(config, rng, corners)):
        load = Load.FULL if number == 0 or rng.random() < 0.5 else Load.PARTS
        source, sink = _stalls(rng)
        yield Scenario(batch=batch, corner=True, load=load, source=source, sink=sink)
        yield from following(number, batch)
    sent = number = 0
    batches = 12
    while sent < words:
        vectors = max(1, words // (batches * config.columns))
        batch = random_batch(config, rng, vectors + int(rng.integers(4)))
        source, sink = _stalls(rng)
        load = Load.FULL if rng.random() < 0.4 else Load.PARTS
        yield Scenario(batch=batch, corner=False, load=load, source=source, sink=sink)
        yield from following(number, batch)
        sent += len(batch.words.first) * config.columns
        number += 1
