"""The scale-factor array by its definition: whole numbers, one column at a time, nothing from the golden model."""

from __future__ import annotations

from fractions import Fraction


def comparison(total: Fraction, threshold: Fraction) -> int:
    """p of a ternary read-out; both bounds belong to it."""
    if total >= threshold:
        return 1
    return -1 if total <= -threshold else 0


def meaning(code: int, binary_mode: bool) -> tuple[int, bool]:
    """p of a code, and whether it is illegal."""
    if binary_mode:
        return (-1 if code in (2, 3) else 1), False
    return {0: 0, 1: 1, 2: 0, 3: -1}[code], code == 2


def column(scales: list[int], codes: list[int], sum_bits: int, binary_mode: bool) -> tuple[int, bool, bool]:
    """Sum, overflow and illegal code of one column: add, and where the sum leaves its range, go around."""
    low, high = -(2 ** (sum_bits - 1)), 2 ** (sum_bits - 1) - 1
    total, overflowed, illegal = 0, False, False
    for scale, code in zip(scales, codes, strict=True):
        p, wrong = meaning(code, binary_mode)
        illegal = illegal or wrong
        total += p * scale
        if total > high:
            total, overflowed = total - 2**sum_bits, True
        if total < low:
            total, overflowed = total + 2**sum_bits, True
    return total, overflowed, illegal


def work(codes: list[list[int]], binary_mode: bool) -> dict[str, int]:
    """Words of one array, (streams, columns), that are read, computed and stored."""
    done = {"operations": 0, "reads": 0, "computes": 0, "stores": 0}
    for stream, row in enumerate(codes):
        last = stream == len(codes) - 1
        for code in row:
            active = meaning(code, binary_mode)[0] != 0
            done["operations"] += 1
            done["reads"] += active or last
            done["computes"] += active
            done["stores"] += active and not last
    return done
