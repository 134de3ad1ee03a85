"""Random units of every option, and random data for them, thick at the ends of every range."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st
from nmpu_by_definition import Column, codes, entries, sums
from numpy.typing import NDArray

from golden_model.fixed import INT8, SQ, SYM8, UQ, Format, Rounding
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig

WORDS, COLUMNS = 3, 5

SCALES = st.tuples(st.integers(0, 2), st.integers(0, 9)).filter(any).map(lambda bits: UQ(*bits))
OFFSETS = st.tuples(st.integers(1, 9), st.integers(0, 4)).filter(lambda bits: sum(bits) > 1).map(lambda bits: SQ(*bits))
OUTPUTS = st.sampled_from([SYM8, INT8, UQ(8, 0), UQ(4, 0), UQ(1, 0), SQ(4, 0), SQ(12, 0)])


@st.composite
def configs(draw: st.DrawFn, **fixed: Any) -> NmpuConfig:
    """Draw a unit; keywords pin fields. Cuts are drawn last, inside what the rest of the unit allows."""
    kind = draw(st.sampled_from(Input))
    scale, offset = draw(SCALES), draw(OFFSETS)
    int8 = draw(st.booleans())
    fields: dict[str, Any] = {
        "input": kind,
        "input_bits": draw(st.integers(2 if kind is Input.CODE else 1, 14)),
        "scale": scale,
        "offset": offset,
        "rounding": draw(st.sampled_from(Rounding)),
        "guard": draw(st.integers(0, min(7, max(scale.fraction, offset.fraction)))),
        "max_layer_shift": draw(st.sampled_from([0, 1, 3, 24])),
        "max_column_shift": draw(st.integers(0, 7)),
        "partial_sum": int8 or draw(st.booleans()),
        "int8": int8,
        "max_tiles": draw(st.sampled_from([1, 2, 3, 16, 17])),
        "batch_norm": draw(st.booleans()),
        "bn_scale": draw(SCALES),
        "bn_offset": draw(OFFSETS),
        "max_bn_shift": draw(st.integers(0, 7)),
        "residual": draw(st.booleans()),
        "residual_input": draw(OUTPUTS),
        "residual_scale": draw(SCALES),
        "max_residual_shift": draw(st.integers(0, 7)),
        "relu": draw(st.booleans()),
        "output": draw(OUTPUTS),
    }
    config = NmpuConfig(**fields | fixed)
    if draw(st.booleans()):
        deepest = (config.input_range * config.scale.range).unsigned_bits - 1
        config = dataclasses.replace(config, cut_pre=draw(st.integers(0, deepest)), **fixed)
    if draw(st.booleans()):
        deepest = config.rounded_range.signed_bits - 2
        config = dataclasses.replace(config, cut_post=draw(st.integers(0, deepest)), **fixed)
    return config


def drawn(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return integers of a range: a third at its ends, a third near 0, the rest anywhere."""
    near = np.clip(rng.integers(-2, 3, shape), low, high)
    return np.select(
        [rng.random(shape) < 1 / 3, rng.random(shape) < 1 / 2],
        [np.where(rng.random(shape) < 1 / 2, low, high), near],
        rng.integers(low, high, shape, endpoint=True),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """What one random unit is driven with."""

    columns: list[Column]
    layer: Layer
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    received: NDArray[np.int64] | None
    residual: NDArray[np.int64] | None
    last: bool

    def arrays(self, config: NmpuConfig) -> Columns:
        return Columns(
            **{name: np.array([getattr(c, name) for c in self.columns]) for name in Column.__dataclass_fields__}
        )


@st.composite
def driven(draw: st.DrawFn, config: NmpuConfig) -> Data:
    """Draw parameters and data for a unit."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def parameter(low: int, high: int, exists: bool = True) -> list[int]:
        return drawn(rng, low, high, (COLUMNS,)).tolist() if exists else [0] * COLUMNS

    def form(field: Format, exists: bool = True) -> list[int]:
        return parameter(*codes(field), exists)

    bn, residual = config.batch_norm, config.residual
    fields = {
        "scale_p": form(config.scale),
        "scale_n": form(config.scale, config.input is Input.COUNTS),
        "offset": form(config.offset),
        "shift": parameter(0, config.max_column_shift),
        "negate": parameter(0, 1),
        "bn_scale": form(config.bn_scale, bn),
        "bn_offset": form(config.bn_offset, bn),
        "bn_shift": parameter(0, config.max_bn_shift, bn),
        "bn_negate": parameter(0, 1, bn),
        "residual_scale": form(config.residual_scale, residual),
        "residual_shift": parameter(0, config.max_residual_shift, residual),
    }
    shape = (WORDS, COLUMNS)
    last = draw(st.sampled_from([True, True, True, False]))
    return Data(
        columns=[Column(**dict(zip(fields, values, strict=True))) for values in zip(*fields.values(), strict=True)],
        layer=Layer(
            shift=draw(st.integers(0, config.max_layer_shift)),
            relu_before=config.relu and residual and draw(st.booleans()),
            relu_after=config.relu and draw(st.booleans()),
        ),
        first=drawn(rng, *entries(config), shape),
        second=drawn(rng, *entries(config), shape),
        received=drawn(rng, *sums(config), shape) if config.partial_sum and draw(st.booleans()) else None,
        residual=drawn(rng, *codes(config.residual_input), shape) if residual and draw(st.booleans()) else None,
        last=last or not config.partial_sum,
    )
