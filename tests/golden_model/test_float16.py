"""Binary16 against exact integers; the torch twin against the numpy specification, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable

import binary16_by_definition as exact
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from golden_model import float16
from golden_model.fixed import INT8, SYM8, UQ, Format
from sim import float16 as twin

EVERY = np.arange(1 << 16, dtype=np.uint16)
SPECIAL = [0x0000, 0x0001, 0x03FF, 0x0400, 0x3BFF, 0x3C00, 0x3C01, 0x7BFF, 0x7C00, 0x7C01, 0x7E00]
SPECIAL += [bits | 0x8000 for bits in SPECIAL]

Triples = list[tuple[int, int, int]]


def halves(bits: object) -> NDArray[np.float16]:
    return np.asarray(bits, dtype=np.uint16).view(np.float16)


def bits_of(values: NDArray[np.float16]) -> list[int]:
    assert values.dtype == np.float16
    return values.view(np.uint16).tolist()


def carrier(bits: object) -> torch.Tensor:
    """Return the float32 tensor that carries these halves in `sim`."""
    return torch.tensor(halves(bits).astype(np.float32))


def packed(values: torch.Tensor) -> list[int]:
    assert values.dtype == torch.float32
    return twin.to_half(values).view(torch.int16).numpy().view(np.uint16).tolist()


def uniform(rng: random.Random, count: int) -> Triples:
    """Return triples of any bit patterns, NaN and infinity among them."""
    return [(rng.getrandbits(16), rng.getrandbits(16), rng.getrandbits(16)) for _ in range(count)]


def typical(rng: random.Random, count: int) -> Triples:
    """Return what the unit meets: a count, a scale below 2, an offset of any size."""
    return [
        (exact.from_int(rng.randrange(4096)), rng.randrange(0x4000), rng.randrange(0x5400) | rng.getrandbits(1) << 15)
        for _ in range(count)
    ]


def near_ties(rng: random.Random, count: int) -> Triples:
    """Return products just beside, or at, the middle of two neighbours of c: the traps of double rounding."""
    triples: Triples = []
    for _ in range(count):
        c = rng.randrange(1 << 10, 31 << 10)
        exponents = (c >> 10) + 4 - rng.randrange(2)  # biased, of a and b together: half a unit in c's last place
        first = rng.randrange(max(1, exponents - 30), min(30, exponents - 1) + 1)
        a = first << 10 | rng.choice([0, 1, 2, 0x3FF, rng.randrange(1024)])
        b = exponents - first << 10 | rng.choice([0, 1, 0x3FE, 0x3FF, rng.randrange(1024)])
        triples.append((a | rng.getrandbits(1) << 15, b | rng.getrandbits(1) << 15, c | rng.getrandbits(1) << 15))
    return triples


def cancelling(rng: random.Random, count: int) -> Triples:
    """Return sums that nearly vanish: c is the rounded product, negated, or a neighbour of it."""
    triples: Triples = []
    for _ in range(count):
        a, b = rng.randrange(0x7C00), rng.randrange(0x7C00)
        c = exact.negate(exact.fma(a, b, 0))
        neighbour = max(0, min((c & 0x7FFF) + rng.choice([-1, 0, 0, 1]), 0x7BFF))
        triples.append((a, b, neighbour | c & 0x8000))
    return triples


def subnormal(rng: random.Random, count: int) -> Triples:
    """Return results around and below the smallest normal number."""
    triples: Triples = []
    for _ in range(count):
        exponent = rng.randrange(1, 16)
        a = exponent << 10 | rng.randrange(1024)
        b = max(0, 16 - exponent + rng.randrange(-12, 2)) << 10 | rng.randrange(1024)
        c = rng.choice([0, 1, rng.randrange(0x400), rng.randrange(0x800)])
        triples.append((a | rng.getrandbits(1) << 15, b, c | rng.getrandbits(1) << 15))
    return triples


def overflowing(rng: random.Random, count: int) -> Triples:
    """Return products at half way from the largest number to infinity, 65520, and tiny sums on either side of it."""
    products = [(240, 273), (120, 546), (1008, 65), (840, 78), (336, 195), (255.875, 256)]
    triples: Triples = []
    for _ in range(count):
        (a, b), (c,) = bits_of(np.array(rng.choice(products), np.float16)), [rng.choice([0, 1, rng.randrange(0x5000)])]
        triples.append((a | rng.getrandbits(1) << 15, b | rng.getrandbits(1) << 15, c | rng.getrandbits(1) << 15))
    return triples


def specials(_rng: random.Random, _count: int) -> Triples:
    """Return every triple of the special numbers: zeros, infinities, NaNs, ends of the ranges, both signs."""
    return [(a, b, c) for a in SPECIAL for b in SPECIAL for c in SPECIAL]


@pytest.mark.parametrize("kind", [uniform, typical, near_ties, cancelling, subnormal, overflowing, specials])
def test_fused_multiply_add(kind: Callable[[random.Random, int], Triples]) -> None:
    triples = kind(random.Random(1), 40_000)
    expected = [exact.fma(*triple) for triple in triples]
    a, b, c = np.array(triples, dtype=np.uint16).T
    assert bits_of(float16.fused_multiply_add(halves(a), halves(b), halves(c))) == expected
    assert packed(twin.fused_multiply_add(carrier(a), carrier(b), carrier(c))) == expected


def test_near_ties_are_the_traps_they_are_meant_to_be() -> None:
    """Two roundings, as in a float32 sum, must fail on them, or the test above shows nothing."""
    triples = near_ties(random.Random(1), 40_000)
    a, b, c = (halves(part).astype(np.float32) for part in np.array(triples, dtype=np.uint16).T)
    with np.errstate(over="ignore"):
        twice = bits_of((a * b + c).astype(np.float16))
    wrong = sum(got != exact.fma(*triple) for got, triple in zip(twice, triples, strict=True))
    assert wrong > 100


def test_the_smallest_trap() -> None:
    a, b, c = 1 + 2**-10, 2**-11 * (1 - 2**-10), 1 + 2**-10
    traps = [float16.from_float(part) for part in (a, b, c)]
    expected = float16.from_float(c)  # a * b is just below half a unit in the last place of c
    assert float16.fused_multiply_add(*traps) == expected
    assert twin.fused_multiply_add(*(torch.tensor(float(part)) for part in traps)).item() == expected
    assert (np.float32(a) * np.float32(b) + np.float32(c)).astype(np.float16) != expected


@pytest.mark.parametrize("kind", [uniform, near_ties, cancelling, subnormal, specials])
def test_add_and_multiply(kind: Callable[[random.Random, int], Triples]) -> None:
    triples = kind(random.Random(2), 10_000)
    a, b, c = np.array(triples, dtype=np.uint16).T
    one, minus_zero = exact.from_int(1), 0x8000
    sums = [exact.fma(x, one, z) for x, _, z in triples]
    # A product keeps its sign when it is 0: what is added is a zero of that sign.
    products = [exact.fma(x, y, (x ^ y) & minus_zero) for x, y, _ in triples]
    assert bits_of(float16.add(halves(a), halves(c))) == sums
    assert packed(twin.add(carrier(a), carrier(c))) == sums
    assert bits_of(float16.multiply(halves(a), halves(b))) == products
    assert packed(twin.multiply(carrier(a), carrier(b))) == products


def test_every_count() -> None:
    counts = np.arange(4096)
    expected = [exact.from_int(int(count)) for count in counts]
    assert bits_of(float16.from_int(counts)) == expected
    assert packed(twin.from_int(torch.tensor(counts))) == expected
    inexact = [count for count in range(4096) if exact.quanta(expected[count]) != count << 24]
    assert len(inexact) == 1024
    assert all(count > 2048 and count % 2 == 1 for count in inexact)  # each the middle of two neighbours: an exact tie


def test_integers_to_where_binary16_ends() -> None:
    values = np.arange(-70_000, 70_001)
    expected = [exact.from_int(int(value)) for value in values]
    assert bits_of(float16.from_int(values)) == expected
    assert packed(twin.from_int(torch.tensor(values))) == expected
    assert expected[70_000 + 65_519] == 0x7BFF
    assert expected[70_000 + 65_520] == exact.INFINITY


@pytest.mark.parametrize("form", [SYM8, INT8, UQ(8, 0), UQ(4, 0), UQ(16, 0)], ids=str)
def test_every_number_to_a_code(form: Format) -> None:
    expected = [exact.to_int(int(bits), form.range.lo, form.range.hi) for bits in EVERY]
    for codes, failed in (float16.to_int(halves(EVERY), form), twin.to_int(carrier(EVERY), form)):
        assert list(zip(codes.tolist(), failed.tolist(), strict=True)) == expected


def test_every_number_rectified() -> None:
    expected = [exact.relu(int(bits)) for bits in EVERY]
    assert bits_of(float16.relu(halves(EVERY))) == expected
    assert packed(twin.relu(carrier(EVERY))) == expected


def test_every_number_negated() -> None:
    """The sign bit alone flips, a NaN's too; `sim` packs every NaN as the one that the unit knows."""
    assert bits_of(float16.negate(halves(EVERY))) == (EVERY ^ 0x8000).tolist()
    assert packed(twin.negate(carrier(EVERY))) == [exact.NAN if exact.is_nan(b) else b ^ 0x8000 for b in EVERY.tolist()]


def test_every_number_packed() -> None:
    assert packed(carrier(EVERY)) == [exact.NAN if exact.is_nan(bits) else bits for bits in EVERY.tolist()]


def test_reals_round_once() -> None:
    """Decimal parameters go to their nearest binary16 straight from binary64, never by way of binary32."""
    tie = 1 + 2**-11
    values = [
        0.1,
        tie,
        tie + 2**-40,
        tie - 2**-40,
        65519.99,
        65520.0,
        2.0**-25,
        2.0**-25 + 2.0**-60,
        -0.0,
        np.nan,
        -np.inf,
    ]
    assert bits_of(float16.from_float(values)) == [
        0x2E66, 0x3C00, 0x3C01, 0x3C00, 0x7BFF, 0x7C00, 0x0000, 0x0001, 0x8000, 0x7E00, 0xFC00,
    ]  # fmt: skip
