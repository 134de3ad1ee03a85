"""What a bench does with one batch: how parameters are loaded, how both streams stall, where a reset falls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from cocotb_tests.contract import Contract, Stimulus


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

    stimulus: Stimulus
    """Parameters, layer registers and words."""
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


def _followers(contract: Contract, config: Any, rng: np.random.Generator, before: Stimulus) -> Iterator[Scenario]:
    """Yield a batch that a reset cuts off, inside a vector if it can, and one under the parameters that outlive it.

    In a unit of many columns it falls after two vectors.
    """
    columns = contract.ports(config).columns
    most = max(2, min(24, 192 // columns))
    words = contract.words(config, rng, most + 16)
    cut = int(rng.integers(min(8, most - 1), most)) * columns + int(rng.integers(columns))
    source, sink = _stalls(rng)
    broken = replace(before, words=words)
    yield Scenario(stimulus=broken, corner=False, load=Load.KEEP, source=source, sink=sink, reset_after=cut)
    kept = replace(before, words=contract.words(config, rng, 4))
    yield Scenario(stimulus=kept, corner=False, load=Load.KEEP)


def scenarios(contract: Contract, config: Any, seed: int, words: int, corners: int | None) -> Iterator[Scenario]:
    """Yield the corners of a configuration, then at least `words` random words; the same for the same seed.

    One batch in six is followed by one that a reset cuts off and by one under the parameters that outlive the reset.
    """
    ports = contract.ports(config)
    rng = np.random.default_rng([seed, ports.units, ports.columns])

    def following(number: int, stimulus: Stimulus) -> Iterator[Scenario]:
        if number % 6 == 1:
            yield from _followers(contract, config, rng, stimulus)

    for number, stimulus in enumerate(contract.corners(config, rng, corners)):
        load = Load.FULL if number == 0 or rng.random() < 0.5 else Load.PARTS
        source, sink = _stalls(rng)
        yield Scenario(stimulus=stimulus, corner=True, load=load, source=source, sink=sink)
        yield from following(number, stimulus)
    sent = number = 0
    batches = 12
    while sent < words:
        vectors = max(1, words // (batches * ports.columns))
        stimulus = contract.random(config, rng, vectors + int(rng.integers(4)))
        source, sink = _stalls(rng)
        load = Load.FULL if rng.random() < 0.4 else Load.PARTS
        yield Scenario(stimulus=stimulus, corner=False, load=load, source=source, sink=sink)
        yield from following(number, stimulus)
        sent += stimulus.vectors * ports.columns
        number += 1
