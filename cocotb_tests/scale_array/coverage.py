"""Cover bins of the array, counted by element (a column and stream of an array) from the golden intermediates.

The names are those that the test plan (`cocotb_tests.scale_array.plan`) asks for. Sums before and after each stream are
followed here in exact integers; nothing is read back from the hardware.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from cocotb_tests.contract import Mask, Stimulus
from cocotb_tests.ports import Integers
from cocotb_tests.scale_array.stimulus import Arrays, answer, arrays, totals
from golden_model.scale_array import model
from golden_model.scale_array.config import ScaleArrayConfig

Bins = Iterator[tuple[str, Any]]


def _codes(given: Arrays) -> Bins:
    """Yield which codes came in which mode, and arrays of one pattern."""
    mode = "binary" if given.binary else "ternary"
    for code in range(4):
        yield f"{mode}.code_{code:02b}", given.codes == code
    for code, name in ((0, "zero"), (1, "plus"), (3, "minus")):
        yield f"{mode}.all_{name}", (given.codes == code).all(axis=(1, 2))


def _scales(config: ScaleArrayConfig, given: Arrays, p: Integers) -> Bins:
    """Yield scales at their ends, each bit alone, every code, each under both signs."""
    works = np.broadcast_to(given.scales, p.shape)
    top = config.scale_range.hi
    for sign, way in ((1, "plus"), (-1, "minus")):
        yield f"scale.zero_{way}", (works == 0) & (p == sign)
        yield f"scale.highest_{way}", (works == top) & (p == sign)
    if config.scale_bits <= 4:
        yield "scale.every_code", len(np.unique(works[p != 0])) == top + 1
    yield "scale.one_bit", (works & (works - 1) == 0) & (works > 0) & (p != 0)


def _wraps(config: ScaleArrayConfig) -> Mask:
    """Return the columns whose sums lie across the array's edge."""
    word = np.arange(config.columns) % config.words
    return np.asarray(word * config.scale_bits + config.sum_bits > config.columns)


def _sums(config: ScaleArrayConfig, given: Arrays, p: Integers) -> Bins:
    """Yield what additions met: chains of carries and borrows, signs, both ends of the range."""
    terms = p * given.scales
    after = terms.cumsum(axis=1)
    before = after - terms
    kept, low, high = model.wrap(config, before), config.sum_range.lo, config.sum_range.hi
    exact = kept + terms
    wrapped, upper = _wraps(config), kept >> config.scale_bits
    carries, borrows = (p == 1) & (kept == -1) & (exact == 0), (p == -1) & (kept == 0) & (exact == -1)
    for name, where in (("carry", carries), ("borrow", borrows)):
        yield f"chain.{name}_through", where
        yield f"chain.{name}_through_wrapped", where & wrapped
    rises = (exact >> config.scale_bits) != upper
    yield "chain.carry_into_upper", (p == 1) & rises & (kept >= 0)
    yield "chain.borrow_into_upper", (p == -1) & rises & (kept < 0)
    yield "chain.none_into_upper", (p != 0) & ~rises & (exact != kept)
    yield "sum.turns_positive", (kept < 0) & (exact > 0)
    yield "sum.turns_negative", (kept > 0) & (exact < 0)
    yield "sum.back_to_zero", (kept != 0) & (exact == 0)
    if config.can_overflow:
        yield "overflow.high", exact > high + 1
        yield "overflow.low", exact < low - 1
        yield "overflow.just_high", exact == high + 1
        yield "overflow.just_low", exact == low - 1
        yield "overflow.at_high", (exact == high) & (p != 0)
        yield "overflow.at_low", (exact == low) & (p != 0)
        outside = ((after < low) | (after > high)).any(axis=1)
        ends = after[:, -1]
        yield "overflow.comes_back", outside & (ends >= low) & (ends <= high)
        yield "overflow.in_wrapped_word", ((exact > high) | (exact < low)) & wrapped
    yield "sum.most", after[:, -1] == config.reach.hi
    yield "sum.least", after[:, -1] == config.reach.lo


def _gates(config: ScaleArrayConfig, p: Integers) -> Bins:
    """Yield what p = 0 leaves out, and who works beside it."""
    active = np.asarray(p != 0)
    lanes = active[..., model.read_out(config)]  # (arrays, streams, slots, lanes)
    if config.lanes > 1:
        yield "gate.neighbour_works", ~lanes[..., 1:] & lanes[..., :-1]
        yield "gate.neighbour_rests", lanes[..., 1:] & ~lanes[..., :-1]
    yield "gate.row_rests", ~lanes.any(axis=-1)
    yield "gate.never", ~active.any(axis=1)
    yield "gate.last_alone", active[:, -1] & ~active[:, :-1].any(axis=1)
    if config.streams > 1:
        yield "gate.all_but_last", ~active[:, -1] & active[:, :-1].any(axis=1)
        yield "gate.first_store_late", ~active[:, 0] & active[:, 1:].any(axis=1)
        stale = active[:-1, :-1].any(axis=1) & ~active[1:].any(axis=1)
        yield "gate.array_before_left_a_sum", stale
    for number in range(config.passes):
        name = "first" if number == 0 else "last" if number == config.passes - 1 else "middle"
        yield f"pass.{name}", lanes[:, :, number * config.scale_bits : (number + 1) * config.scale_bits]


def _flags(config: ScaleArrayConfig, given: Stimulus, illegal: Mask) -> Bins:
    """Yield flags that go up, stay down, and outlive arrays."""
    flagged = answer(config, given).flagged.reshape(-1, config.streams, config.columns)
    raised: Mask = np.asarray(flagged.any(axis=1), bool)
    yield "flag.up", raised.any(axis=0)
    yield "flag.stays_down", ~raised.any(axis=0)
    yield "flag.sticky", raised.any(axis=0) & ~raised[-1]
    yield "flag.illegal", illegal.any(axis=1)


def count(config: ScaleArrayConfig, given: Stimulus) -> Counter[str]:
    """Return how many elements of a stimulus fall in each bin."""
    own = arrays(config, given)
    p, illegal = (np.asarray(each) for each in model.decode(own.codes, own.binary))
    counted: Counter[str] = Counter()
    parts = [_codes(own), _scales(config, own, p), _sums(config, own, p), _gates(config, p)]
    for part in (*parts, _flags(config, given, illegal)):
        for name, where in part:
            counted[name] += int(np.count_nonzero(where))
    counted["activity.wraps"] += totals(config, given)["operations"] >= 1 << config.counter_bits
    return counted
