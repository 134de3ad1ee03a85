"""The array's integers: p from comparators, PS += p * s with a sticky overflow, and the work that p = 0 saves.

    binary:  p = +1 if ps >= 0 else -1                                    (paper, Eq. 1; its training code has 0 at 0)
    ternary: p = +1 if ps >= alpha, -1 if ps <= -alpha, else 0            (paper; both bounds inclusive)
    PS_i += p_ij * s_ij for every stream j, wrapping to `sum_bits`        (paper; wrapping and flag: ours)

Every function works on numpy integer arrays and torch integer tensors alike; streams are the axis before the last,
columns the last, arrays any axes before. The integers given must hold +-(2**scale_bits - 1): int8 holds 4-bit scales
and not 8-bit ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError
from golden_model.fixed import Integers
from golden_model.scale_array.config import ScaleArrayConfig

ILLEGAL = 2
"""The code 10: p = -1 without p != 0. It acts as 00 and raises the column's flag."""


def ternary(totals: Any, threshold: float) -> Integers:
    """Return p of analog column sums: +1 from `threshold` up, -1 from -`threshold` down, 0 between.

    `threshold` (alpha, one a layer) is above 0, in the unit of `totals`: at 0 a sum of 0 would be +1 and -1 at once.
    """
    if not threshold > 0:
        raise UserError(f"threshold = {threshold}: a ternary read-out needs one above 0; without one, read out binary")
    return 1 * (totals >= threshold) - 1 * (totals <= -threshold)


def binary(totals: Any) -> Integers:
    """Return p of analog column sums read by one comparator: +1 from 0 up, -1 below; never 0."""
    return 2 * (totals >= 0) - 1


def encode(p: Integers) -> Integers:
    """Return the code of p: 00 is 0, 01 is +1, 11 is -1."""
    return p & 3


def comparators(above: Any, below: Any) -> Integers:
    """Return the code of two comparators' outputs (1 or True: ps >= alpha; ps <= -alpha).

    Bit 1 is `below`, bit 0 their exclusive or: comparators that contradict each other give 10, which is flagged (ours).
    """
    return 1 * (above != below) + 2 * below


def decode(codes: Integers, binary_mode: bool = False) -> tuple[Integers, Any]:
    """Return p and where the code is illegal. Codes 0..3.

    10 acts as 00. In binary mode only bit 1 counts, since there is one comparator: 0x is +1, 1x is -1, none is illegal.
    """
    sign = 1 - (codes & 2)
    if binary_mode:
        return sign, codes != codes
    return (codes & 1) * sign, codes == ILLEGAL


def wrap(config: ScaleArrayConfig, total: Integers) -> Integers:
    """Return the two's-complement number of `sum_bits` bits that `total` leaves behind."""
    half = 1 << (config.sum_bits - 1)
    return ((total + half) & (2 * half - 1)) - half


class Sums(NamedTuple):
    """Partial sums of arrays, (..., columns)."""

    values: Any
    """The sums, within `sum_range`."""
    overflowed: Any
    """Whether a sum left `sum_range` on the way, also where it came back: sticky."""
    illegal: Any
    """Whether an illegal code came, in any stream."""

    @property
    def flagged(self) -> Any:
        """Return what the hardware's flag of a column shows."""
        return self.overflowed | self.illegal


def accumulate(config: ScaleArrayConfig, scales: Integers, p: Integers) -> tuple[Integers, Any]:
    """Return the sums over the streams of p * s and where one overflowed: (..., streams, columns) to (..., columns).

    A step that leaves the range wraps; the first such step is the first exact prefix outside, so prefixes decide.
    """
    terms = p * scales
    if not config.can_overflow:
        total = terms.sum(-2)
        return total, total != total
    running = terms.cumsum(-2)
    outside = (running < config.sum_range.lo) | (running > config.sum_range.hi)
    return wrap(config, running[..., -1, :]), outside.any(-2)


def scale_array(config: ScaleArrayConfig, scales: Integers, codes: Integers, *, binary_mode: bool = False) -> Sums:
    """Return what whole arrays compute. Parameters: scales (streams, columns), codes 0..3 (..., streams, columns)."""
    p, illegal = decode(codes, binary_mode)
    values, overflowed = accumulate(config, scales, p)
    return Sums(values, overflowed, illegal.any(-2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Work on words, one word a column and stream: how often it was done; the rest of `operations` was skipped."""

    operations: int
    """Columns * streams of all arrays."""
    reads: int
    """Words whose scale and sum were read: p != 0, and every word of the last stream, whose sums leave."""
    computes: int
    """Words that were added or subtracted: p != 0."""
    stores: int
    """Sums written back: p != 0 in any stream but the last, behind which sums leave and are not kept."""

    @property
    def skipped(self) -> dict[str, int]:
        """Return the reads, computes and stores that p = 0, or the end of the array's work, made unnecessary."""
        return {name: self.operations - getattr(self, name) for name in ("reads", "computes", "stores")}

    def __add__(self, other: Activity) -> Activity:
        return Activity(**{name: getattr(self, name) + getattr(other, name) for name in Activity.__slots__})


def activity(config: ScaleArrayConfig, p: Integers) -> Activity:
    """Return the work for p, (..., streams, columns): exactly what the hardware's counters show."""
    active = p != 0
    last = active[..., -1, :]
    operations = 1
    for size in p.shape:
        operations *= int(size)
    computes, final = int(active.sum()), int(last.sum())
    idle = operations // config.streams - final
    return Activity(operations=operations, reads=computes + idle, computes=computes, stores=computes - final)


def read_out(config: ScaleArrayConfig) -> NDArray[np.int64]:
    """Return the columns in the order in which sums leave, (slots, lanes): slot q * scale_bits + r is row r, pass q.

    Lane m of that slot is column r * words + passes * m + q.
    """
    slot, lane = np.arange(config.slots)[:, None], np.arange(config.lanes)
    row, number = slot % config.scale_bits, slot // config.scale_bits
    return np.asarray(row * config.words + config.passes * lane + number, np.int64)


def check(config: ScaleArrayConfig, scales: Integers) -> None:
    """Refuse (UserError) scales that the memory cannot hold. A scale of 0 is a scale: its column adds nothing."""
    if tuple(scales.shape) != (config.streams, config.columns):
        raise UserError(
            f"scales have shape {tuple(scales.shape)}: this array takes ({config.streams}, {config.columns}), "
            "one row a stream"
        )
    low, high = int(scales.min()), int(scales.max())
    if low < 0 or high > config.scale_range.hi:
        raise UserError(
            f"scales are {low} .. {high}: {config.scale_bits} bits, unsigned, hold 0 .. {config.scale_range.hi}"
        )
