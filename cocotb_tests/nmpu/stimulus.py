"""The NMPU's batches (`golden_model.vectors`) as the benches speak: integers by field name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

import numpy as np

from cocotb_tests.contract import Answer, Stimulus
from cocotb_tests.contract import Words as AnyWords
from cocotb_tests.ports import Integers
from golden_model.nmpu_config import Columns, Layer, NmpuConfig
from golden_model.vectors import Batch, Mode, Words, corner_batches, random_batch, random_words, trace

CLOSE = 3
"""Words of a column next to either end."""


def layer_values(mode: Mode) -> dict[str, int]:
    """Return every layer register of a mode, by field name."""
    return {
        "shift": mode.layer.shift,
        "relu_before": int(mode.layer.relu_before),
        "relu_after": int(mode.layer.relu_after),
        "receive": int(mode.receive),
        "add_residual": int(mode.add_residual),
        "last": int(mode.last),
    }


def _arrays(entry: Columns | Words) -> Mapping[str, Integers]:
    return {field.name: np.asarray(getattr(entry, field.name)) for field in fields(entry)}


def stimulus(batch: Batch) -> Stimulus:
    """Return a batch as the benches speak."""
    return Stimulus(columns=_arrays(batch.columns), layer=layer_values(batch.mode), words=_arrays(batch.words))


def batch(config: NmpuConfig, given: Stimulus) -> Batch:
    """Return a stimulus as the golden model speaks; a parameter that the unit does not store is 0."""
    nothing = np.zeros(config.units * config.columns, np.int64)
    layer = given.layer
    mode = Mode(
        layer=Layer(shift=layer["shift"], relu_before=bool(layer["relu_before"]), relu_after=bool(layer["relu_after"])),
        receive=bool(layer["receive"]),
        add_residual=bool(layer["add_residual"]),
        last=bool(layer["last"]),
    )
    columns = Columns(**{name: given.columns.get(name, nothing) for name in Columns.ranges(config)})
    return Batch(columns=columns, mode=mode, words=Words(**given.words))


def random(config: NmpuConfig, rng: np.random.Generator, vectors: int) -> Stimulus:
    """Return random vectors under random parameters and a random mode."""
    return stimulus(random_batch(config, rng, vectors))


def words(config: NmpuConfig, rng: np.random.Generator, vectors: int) -> AnyWords:
    """Return random operands."""
    return _arrays(random_words(config, rng, vectors))


def corners(config: NmpuConfig, rng: np.random.Generator, limit: int | None) -> Iterator[Stimulus]:
    """Yield corner batches, and before each of them those of its words that come closest to saturation and fit.

    Only there a flag that goes up too early is seen: it is sticky, and the whole corner raises it anyway.
    """
    for each in corner_batches(config, rng, limit):
        yield stimulus(_close(config, each))
        yield stimulus(each)


def _close(config: NmpuConfig, each: Batch) -> Batch:
    """Return, column by column, the words of a batch with the lowest and the highest numbers that still fit."""
    found = trace(config, each)
    shape = each.words.first.shape
    value = np.broadcast_to(np.asarray(found.kept if found.final is None else found.final.integers), shape)
    saturated = np.broadcast_to(np.asarray(found.output.saturated), shape)
    lowest = np.where(saturated, np.iinfo(np.int64).max, value).argsort(axis=0, kind="stable")[:CLOSE]
    highest = np.where(saturated, np.iinfo(np.int64).min, value).argsort(axis=0, kind="stable")[-CLOSE:]
    rows = np.concatenate([lowest, highest])
    rows = np.where(np.take_along_axis(saturated, rows, axis=0), lowest[0], rows)  # where fewer fit
    words = {name: np.take_along_axis(values, rows, axis=0) for name, values in _arrays(each.words).items()}
    return replace(each, words=Words(**words))


def answer(config: NmpuConfig, given: Stimulus) -> Answer:
    """Return codes or sums, whichever the tile sends, and what saturated."""
    values, saturated = batch(config, given).expected(config)
    values = np.asarray(values)
    nothing, last = np.zeros_like(values), given.layer["last"]
    fields = {"code": values if last else nothing, "sum": nothing if last else values}
    return Answer(fields, np.broadcast_to(np.asarray(saturated), values.shape))
