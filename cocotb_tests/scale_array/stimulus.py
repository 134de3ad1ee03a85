"""Random arrays, and what the golden model says of them, as the benches speak: integers by field name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cocotb_tests.contract import Answer, Stimulus, Words
from cocotb_tests.ports import Integers
from golden_model.scale_array import model
from golden_model.scale_array.config import ScaleArrayConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """A stimulus as the golden model speaks."""

    scales: Integers
    """(streams, columns)."""
    codes: Integers
    """(arrays, streams, columns)."""
    binary: bool
    """Whether one comparator a column speaks."""


def stimulus(config: ScaleArrayConfig, given: Arrays) -> Stimulus:
    """Return arrays as the benches speak."""
    rows = given.scales.reshape(config.scale_rows, config.words)
    columns = {f"w{word}": rows[:, word] for word in range(config.words)}
    words = {"p": given.codes.reshape(len(given.codes), -1)}
    return Stimulus(columns=columns, layer={"binary": int(given.binary)}, words=words)


def arrays(config: ScaleArrayConfig, given: Stimulus) -> Arrays:
    """Return a stimulus as the golden model speaks."""
    rows = np.stack([given.columns[f"w{word}"] for word in range(config.words)], axis=1)
    return Arrays(
        scales=rows.reshape(config.streams, config.columns),
        codes=np.asarray(given.words["p"]).reshape(-1, config.streams, config.columns),
        binary=bool(given.layer["binary"]),
    )


def random_scales(config: ScaleArrayConfig, rng: np.random.Generator) -> Integers:
    """Return scales of every magnitude, one in four an end or 1."""
    shape, top = (config.streams, config.columns), config.scale_range.hi
    drawn = rng.integers(0, top, shape, endpoint=True) >> rng.integers(0, config.scale_bits + 1, shape) % 3
    return np.where(rng.random(shape) < 0.25, rng.choice([0, 1, top], shape), drawn).astype(np.int64)


def random_codes(config: ScaleArrayConfig, rng: np.random.Generator, count: int) -> Integers:
    """Return codes whose share of zeros goes from none to nearly all, array by array; some illegal, signs uneven."""
    shape = (count, config.streams, config.columns)
    zero, minus, illegal = (rng.random((count, 1, 1)) for _ in range(3))
    codes = np.where(rng.random(shape) < minus, 3, 1)
    codes = np.where(rng.random(shape) < zero, 0, codes)
    return np.where(rng.random(shape) < 0.1 * illegal * (illegal > 0.5), model.ILLEGAL, codes)


def random(config: ScaleArrayConfig, rng: np.random.Generator, vectors: int) -> Stimulus:
    """Return random arrays under random scales, one batch in three in binary mode."""
    scales, codes = random_scales(config, rng), random_codes(config, rng, vectors)
    return stimulus(config, Arrays(scales=scales, codes=codes, binary=bool(rng.random() < 1 / 3)))


def words(config: ScaleArrayConfig, rng: np.random.Generator, vectors: int) -> Words:
    """Return random codes."""
    return {"p": random_codes(config, rng, vectors).reshape(vectors, -1)}


def answer(config: ScaleArrayConfig, given: Stimulus) -> Answer:
    """Return the sums in the order in which they leave, and which stream raises which column's flag.

    The whole array says which columns are flagged; shorter ones, of its first streams, say from when on.
    """
    own = arrays(config, given)
    found = model.scale_array(config, own.scales, own.codes, binary_mode=own.binary)
    flagged = [
        model.scale_array(config, own.scales[:ends], own.codes[:, :ends], binary_mode=own.binary).flagged
        for ends in range(1, config.streams + 1)
    ]
    sums = np.asarray(found.values)[:, model.read_out(config).ravel()]
    at = np.stack(flagged, axis=1) & np.asarray(found.flagged)[:, None]
    return Answer({"sum": sums}, at.reshape(len(sums), -1))


def totals(config: ScaleArrayConfig, given: Stimulus) -> Mapping[str, int]:
    """Return what the activity counters gain."""
    own = arrays(config, given)
    done = model.activity(config, model.decode(own.codes, own.binary)[0])
    return {name: getattr(done, name) for name in model.Activity.__slots__}
