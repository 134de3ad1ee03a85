"""Random stimulus of the FP16 unit: parameters and sums of every kind of binary16 number, typical ones most often."""

from __future__ import annotations

import numpy as np

from cocotb_tests.contract import Stimulus, Words
from cocotb_tests.fp16_unit.ports import LAYER, parameters
from cocotb_tests.fp16_unit.trace import bits
from cocotb_tests.ports import Integers
from golden_model.fixed import INT8, Range
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input
from golden_model.vectors import draw

INFINITY, NAN, OTHER_NAN, SIGNALLING = 0x7C00, 0x7E00, 0xFE01, 0x7C01
_MAGNITUDES = (0, 1, 2, 0x3FF, 0x400, 0x401, 0x3800, 0x3BFF, 0x3C00, 0x3C01, 0x4000, 0x7BFF, INFINITY, NAN, SIGNALLING)
SPECIAL = np.array([sign | magnitude for magnitude in _MAGNITUDES for sign in (0, 0x8000)], np.int64)
"""Both zeros, the ends of the subnormal and of the normal numbers, 1 and its neighbours, infinities, NaNs."""

TYPICAL = {"scale_p": 0.05, "scale_n": 0.05, "offset": 20.0, "gamma": 1.0, "beta": 20.0, "receive": 0.5}
"""How large a parameter usually is, so that not every code saturates."""


def wild(rng: np.random.Generator, shape: tuple[int, ...]) -> Integers:
    """Return any binary16 numbers: uniform bits, subnormal ones, ones near 1, and special ones."""
    low, sign = rng.integers(0, 1024, shape), rng.integers(0, 2, shape) << 15
    kinds = (
        rng.integers(0, 65536, shape),
        sign | rng.integers(0, 3, shape) << 10 | low,
        sign | rng.integers(11, 19, shape) << 10 | low,
        rng.choice(SPECIAL, shape),
    )
    chosen: Integers = np.choose(rng.integers(0, 4, shape), kinds).astype(np.int64)
    return chosen


def mixed(rng: np.random.Generator, size: float, shape: tuple[int, ...]) -> Integers:
    """Return numbers of a usual size, one in five of any kind."""
    return np.where(rng.random(shape) < 0.2, wild(rng, shape), bits(rng.normal(0, size, shape).astype(np.float16)))


def random_columns(config: Fp16Config, rng: np.random.Generator) -> dict[str, Integers]:
    """Return random parameters."""
    return {name: mixed(rng, TYPICAL[name], (config.columns,)) for name in parameters(config)}


def words(config: Fp16Config, rng: np.random.Generator, vectors: int) -> Words:
    """Return random operands."""
    shape = (vectors, config.columns)
    found = {name: draw(rng, allowed, shape) for name, allowed in operands(config).items()}
    if not config.int8:
        found["received"] = mixed(rng, 40.0, shape)
    return found


def operands(config: Fp16Config) -> dict[str, Range]:
    """Return the operands that are integers, and what their ports take."""
    found = {"first": config.input_range}
    if config.input is Input.COUNTS:
        found["second"] = config.input_range
    if config.int8:
        found["received"] = INT8.range
    return found | {"residual": config.residual_input.range}


def random_layer(rng: np.random.Generator) -> dict[str, int]:
    """Return a random setting of the layer registers."""
    return {name: int(rng.integers(2)) for name in LAYER}


def random(config: Fp16Config, rng: np.random.Generator, vectors: int) -> Stimulus:
    """Return random vectors under random parameters."""
    return Stimulus(columns=random_columns(config, rng), layer=random_layer(rng), words=words(config, rng, vectors))
