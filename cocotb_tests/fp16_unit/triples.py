"""Multiply-adds at their corners: a, b and addends c that tie, nearly tie, cancel, underflow, overflow or are special.

Each kind is made for the integers that a can be, or for any binary16 number. Whether a corner was met is counted from
the golden intermediates (`cocotb_tests.fp16_unit.coverage`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cocotb_tests.fp16_unit.draw import SPECIAL
from cocotb_tests.fp16_unit.trace import halves
from golden_model.fixed import Range

VECTORS = 6
"""Words a column: the corner itself, other addends where they travel with the word, and neighbours."""


class Triple(NamedTuple):
    """Multiply-adds a * b + c that share a and b."""

    a: float
    b: float
    c: list[float]


Kind = Callable[[np.random.Generator, Range | None], Triple]
"""How triples are made: the integers that a can be, or None where it can be any binary16 number."""


def pick(rng: np.random.Generator, low: int, high: int) -> int:
    """Return an integer from low to high."""
    return int(rng.integers(low, high, endpoint=True))


def _sign(rng: np.random.Generator, allowed: Range | None = None) -> int:
    return 1 if allowed is not None and allowed.lo == 0 else int(rng.choice([-1, 1]))


def _held(value: float) -> bool:
    """Return whether binary16 holds a number."""
    with np.errstate(over="ignore"):
        return float(np.float16(value)) == value


def nearest(value: float) -> float:
    """Return the binary16 number nearest to a real one."""
    with np.errstate(over="ignore"):
        return float(np.float16(value))


def _top(allowed: Range | None, limit: int) -> int:
    return limit if allowed is None else min(limit, allowed.hi)


def _tie(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """The sum lies half-way between two numbers: (2j + 1) * 2**q, c = sum - a * b."""
    a, m = pick(rng, 1, _top(allowed, 31)) | 1, 2 * pick(rng, 0, 15) + 1
    q, c = pick(rng, -20, 3), []
    for _ in range(64):
        total = _sign(rng) * (2 * pick(rng, 1024, 2047) + 1) * 2.0**q
        if _held(total - a * m * 2.0**q):
            c.append(total - a * m * 2.0**q)
    return Triple(_sign(rng, allowed) * a, m * 2.0**q, c or [0.0])


def _near(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """The product lies next to half an LSB of c: what a second rounding, or a narrower sum, takes for a tie."""
    a = np.arange(1, _top(allowed, 2047) + 1)
    power = 2.0 ** (10 + np.ceil(np.log2(a)) + (a & (a - 1) == 0))
    b = np.rint(power / a)
    off = np.abs(a * b - power) / power
    good = np.flatnonzero((off > 0) & (off < (2.0**-13 if rng.random() < 0.7 else 2.0**-8)))
    if not len(good):
        return _tie(rng, allowed)
    chosen = int(rng.choice(good))
    size = int(np.log2(power[chosen]))
    e = pick(rng, -24, 4) - size  # the product is about 2**(size + e), half an LSB of c
    c = [_sign(rng) * pick(rng, 1024, 2047) * 2.0 ** (size + e + 1) for _ in range(VECTORS)]
    b_value = float(b[chosen]) * 2.0**e
    if not _held(b_value):
        return _tie(rng, allowed)
    return Triple(_sign(rng, allowed) * float(a[chosen]), _sign(rng) * b_value, c)


def _any(rng: np.random.Generator, allowed: Range | None, low: int = -14, high: int = 4) -> tuple[float, float]:
    """Return a, b of any mantissa."""
    if allowed is None:
        a = _sign(rng) * pick(rng, 1024, 2047) * 2.0 ** pick(rng, -14, -4)
    else:
        a = float(np.float16(pick(rng, allowed.lo, allowed.hi) >> pick(rng, 0, allowed.signed_bits - 1)))
    return a, _sign(rng) * pick(rng, 1024, 2047) * 2.0 ** (pick(rng, low, high) - 10)


def _cancel(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """c takes nearly all, or all, of the product away."""
    a, b = _any(rng, allowed)
    if rng.random() < 0.4:
        b = _sign(rng) * 2.0 ** pick(rng, -8, 3)
    near = np.float16(nearest(-a * b))
    c = [near, near, np.nextafter(near, np.float16(0)), np.nextafter(near, np.copysign(np.float16(np.inf), near))]
    return Triple(a, b, [float(each) for each in c if np.isfinite(each)] or [0.0])


def residue(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """c takes the product away but for a rest of any length, down to the product's last bit."""
    a = pick(rng, max(1, _top(allowed, 2047) // 2), _top(allowed, 2047)) | 1
    b = np.arange(1024, 2048)
    product = a * b
    unit = 2.0 ** np.maximum(np.floor(np.log2(product)) - 10, 0)
    off = np.abs(product - np.rint(product / unit) * unit)
    size = 2.0 ** rng.permutation(11)  # how long a rest, the first that there is
    fitting = next(
        found for each in size if len(found := np.flatnonzero((off >= each) & (off < 2 * each))) or each == 1
    )
    chosen = int(rng.choice(fitting)) if len(fitting) else 0
    scale, sign = 2.0 ** pick(rng, -20, -12), _sign(rng)
    near = np.rint(product[chosen] / unit[chosen])
    steps = [0] if rng.random() < 0.5 else [_sign(rng) * 2 ** pick(rng, 0, 7)]
    c = [(near + step) * unit[chosen] for step in [*steps, 0, -1]]
    flip = _sign(rng, allowed)
    return Triple(flip * a, flip * sign * float(b[chosen]) * scale, [-sign * nearest(each * scale) for each in c])


def _far(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """c lies far above or far below the product."""
    if rng.random() < 0.5:
        a, b = _any(rng, allowed, -24, -10)
        c = [nearest(abs(a * b or 1) * 2.0 ** pick(rng, 12, 26)) for _ in range(3)]
    else:
        a, b = _any(rng, allowed, -4, 8)
        c = [pick(rng, 1, 2047) * 2.0**-24 for _ in range(3)]
    return Triple(a, nearest(b), [_sign(rng) * each for each in c if np.isfinite(each)] or [1024.0])


def _small(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """Operands or results are subnormal."""
    if allowed is not None:
        whole = pick(rng, max(allowed.lo, -3), min(allowed.hi, 3))
        b = _sign(rng) * pick(rng, 0, 1023) * 2.0**-24
        return Triple(whole, b, [_sign(rng) * pick(rng, 0, 2047) * 2.0**-24 for _ in range(VECTORS)])
    size = pick(rng, -12, -2)
    a, unit = _sign(rng) * 2.0**size, 2.0 ** (-25 - size)  # a * unit is half the smallest number
    goal = pick(rng, 0, 3)
    if goal == 0:  # rounds to 0, from either side of that half
        return Triple(a, nearest(pick(rng, 1, 2047) * unit / 2048), [0.0, -0.0])
    if goal == 1:  # rounds up to the smallest normal number
        return Triple(a, 2047 * unit, [0.0, -0.0])
    if goal == 2:  # a tie between subnormal numbers
        return Triple(a, (2 * pick(rng, 0, 1022) + 1) * unit, [0.0, 2.0**-24, -0.0, 3 * 2.0**-24])
    b = nearest(pick(rng, 1024, 2047) * 2.0 ** pick(rng, -28, -18))
    c = [_sign(rng) * pick(rng, 0, 1023) * 2.0**-24 for _ in range(VECTORS)]
    return Triple(_sign(rng) * pick(rng, 1024, 2047) * 2.0**-17, b, c)


def _large(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """The sum lies about 65,520, from where it is infinite: on it, below it, beyond it."""
    a, sign = (pick(rng, 0, max(0, (_top(allowed, 31) - 1) // 2)) * 2 + 1), _sign(rng)
    b = float(rng.choice([16.0, 16.0, 8.0, 4.0, 1.0]))
    c = [(65520 - a * b) // 32 * 32 + step for step in (0, 0, -32, 32) if _held((65520 - a * b) // 32 * 32 + step)]
    c += [65504.0, 60000.0]
    signed = sign * _sign(rng, allowed)
    return Triple(sign * signed * a, signed * b, [sign * each for each in c])


def _special(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """Zeros, infinities, NaNs, ends."""
    b, c = halves(rng.choice(SPECIAL, 1))[0], halves(rng.choice(SPECIAL, VECTORS))
    if allowed is None:
        return Triple(float(halves(rng.choice(SPECIAL, 1))[0]), float(b), [float(each) for each in c])
    a = float(rng.choice([allowed.lo, 0, 0, 1, allowed.hi]))
    return Triple(a, float(b), [float(each) for each in c])


def _infinite(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """An infinite product: with 0, with the same infinity, with the other, with a finite addend."""
    a = float(rng.choice([0.0, 1.0, 2.0] if allowed is None else [0, allowed.lo, allowed.hi]))
    b = _sign(rng) * np.inf
    return Triple(a, b, [np.inf, -np.inf, _sign(rng) * 65504.0])


KINDS: tuple[Kind, ...] = (
    _tie,
    _near,
    _near,
    _cancel,
    residue,
    residue,
    _far,
    _small,
    _small,
    _large,
    _special,
    _infinite,
)


def added(rng: np.random.Generator, allowed: Range | None) -> Triple:
    """An INT8 sum and what it meets: ties, near ties, cancellation, the largest numbers, numbers far away."""
    a = max(1, pick(rng, 1, 127) >> int(rng.choice([0, 0, 0, 1, 2, 3, 4, 5])))
    lowest = a & -a
    goal, sign = int(rng.choice([0, 1, 1, 2, 2, 3, 3, 4, 4, 5])), _sign(rng)
    if goal == 0:
        c = [_sign(rng) * pick(rng, 1024, 2047) * 2.0 * lowest for _ in range(VECTORS)]
    elif goal == 1:  # next to half an LSB of the code
        c = [_sign(rng) * (1024 + pick(rng, -2, 2)) * 2.0 ** (a.bit_length() - 22) for _ in range(VECTORS)]
    elif goal == 2:
        c = [-sign * a * (1 + off) for off in rng.permutation([0, 0, 2.0**-10, -(2.0**-9), 2.0**-5, -(2.0**-4)])]
    elif goal == 3:
        a = int(rng.choice([1, 8, 15, 16, 16, 16, 17, 48]))
        c = [sign * 65504.0] * VECTORS
    elif goal == 4:
        a *= pick(rng, 0, 1)
        c = [_sign(rng) * pick(rng, 0, 2047) * 2.0**-24 for _ in range(VECTORS)]
    else:
        c = [float(halves(each)) for each in rng.choice(SPECIAL, VECTORS)]
    return Triple(sign * a, 1.0, [nearest(each) for each in c])
