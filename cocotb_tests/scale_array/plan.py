"""The array's test plan as data: every corner that must be met, and the cover bins that prove it."""

from __future__ import annotations

from cocotb_tests import frame
from cocotb_tests.contract import Point
from cocotb_tests.frame import point

POINTS: tuple[Point, ...] = (
    point("codes", "00, 01, 11 and the illegal 10", *(f"ternary.code_{code:02b}" for code in range(4))),
    point("codes", "all four in binary mode, where bit 1 alone counts", *(f"binary.code_{c:02b}" for c in range(4))),
    point("codes", "arrays of p all 0, all +1, all -1", "ternary.all_zero", "ternary.all_plus", "ternary.all_minus"),
    point("codes", "the same in binary mode", "binary.all_zero", "binary.all_plus", "binary.all_minus"),
    point("scales", "0, added and subtracted", "scale.zero_plus", "scale.zero_minus"),
    point("scales", "the largest, added and subtracted", "scale.highest_plus", "scale.highest_minus"),
    point("scales", "every code up to 4 bits; one bit alone", "scale.every_code", "scale.one_bit"),
    point("chain", "a carry through a whole sum, -1 + 1", "chain.carry_through"),
    point("chain", "a borrow through a whole sum, 0 - 1", "chain.borrow_through"),
    point(
        "chain",
        "both across the array's edge",
        "chain.carry_through_wrapped",
        "chain.borrow_through_wrapped",
    ),
    point(
        "chain",
        "a carry, a borrow, neither into the bits above the scale",
        "chain.carry_into_upper",
        "chain.borrow_into_upper",
        "chain.none_into_upper",
    ),
    point(
        "sums", "the sign turns, either way; back to 0", "sum.turns_positive", "sum.turns_negative", "sum.back_to_zero"
    ),
    point("sums", "the largest and smallest that scales and codes reach", "sum.most", "sum.least"),
    point(
        "overflow",
        "high: far beyond, by one, and the last that fits",
        "overflow.high",
        "overflow.just_high",
        "overflow.at_high",
    ),
    point(
        "overflow",
        "low: far beyond, by one, and the last that fits",
        "overflow.low",
        "overflow.just_low",
        "overflow.at_low",
    ),
    point("overflow", "a sum that comes back into its range keeps its flag up", "overflow.comes_back"),
    point("overflow", "in a sum across the array's edge", "overflow.in_wrapped_word"),
    point("gating", "beside a lane that works, and the other way", "gate.neighbour_works", "gate.neighbour_rests"),
    point("gating", "a whole row", "gate.row_rests"),
    point("gating", "a column in all streams: its sum is 0", "gate.never"),
    point("gating", "all streams but the last: nothing was ever stored", "gate.last_alone"),
    point("gating", "the last stream alone: the sum leaves unchanged", "gate.all_but_last"),
    point("gating", "the first stream: the first store comes later", "gate.first_store_late"),
    point("gating", "where the array before left a sum in the row", "gate.array_before_left_a_sum"),
    point("passes", "work in the first, a middle, the last", "pass.first", "pass.middle", "pass.last"),
    point("activity", "a counter wraps", "activity.wraps"),
    point("flags", "a flag goes up; a flag stays down", "flag.up", "flag.stays_down"),
    point("flags", "a flag outlives words that do not saturate", "flag.sticky"),
    point("flags", "an illegal code raises one", "flag.illegal"),
    *frame.POINTS,
)
