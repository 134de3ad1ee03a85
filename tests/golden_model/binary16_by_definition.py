"""Binary16 written down a second time, in exact integers: a finite number is an integer count of 2**-24.

Nothing here computes in floating point. The tests hold `golden_model.float16`, and through it the FP16 unit, to it.
"""

from __future__ import annotations

NAN, INFINITY, MINUS = 0x7E00, 0x7C00, 0x8000


def is_nan(bits: int) -> bool:
    return bits & 0x7FFF > INFINITY


def is_infinite(bits: int) -> bool:
    return bits & 0x7FFF == INFINITY


def quanta(bits: int) -> int:
    """Return a finite number as a count of 2**-24, the smallest subnormal."""
    exponent, mantissa = bits >> 10 & 31, bits & 0x3FF
    magnitude = mantissa if exponent == 0 else (1024 + mantissa) << (exponent - 1)
    return -magnitude if bits & MINUS else magnitude


def half_even(value: int, shift: int) -> int:
    """Return a value of 0 or more divided by 2**shift, to nearest, ties to even."""
    quotient, rest = value >> shift, value & ((1 << shift) - 1)
    tie = 1 << shift >> 1
    return quotient + (shift > 0 and (rest > tie or (rest == tie and quotient & 1 == 1)))


def encode(value: int, fraction: int, sign_of_zero: int = 0) -> int:
    """Return the binary16 number nearest to value / 2**fraction (fraction >= 24)."""
    if value == 0:
        return sign_of_zero
    sign, magnitude = (MINUS, -value) if value < 0 else (0, value)
    shift = max(magnitude.bit_length() - 11, fraction - 24)  # 11 significant bits, none finer than 2**-24
    return sign | min(((shift - fraction + 24) << 10) + half_even(magnitude, shift), INFINITY)


def from_int(value: int) -> int:
    return encode(value << 24, 24)


def negate(bits: int) -> int:
    return bits ^ MINUS


def fma(a: int, b: int, c: int) -> int:
    """Return a * b + c, rounded once, IEEE 754 throughout; a NaN is 0x7E00."""
    sign = (a ^ b) & MINUS
    if is_nan(a) or is_nan(b) or is_nan(c):
        return NAN
    if is_infinite(a) or is_infinite(b):
        zero = quanta(a) == 0 if is_infinite(b) else quanta(b) == 0
        opposed = is_infinite(c) and c != sign | INFINITY
        return NAN if zero or opposed else sign | INFINITY
    if is_infinite(c):
        return c
    same = sign == c & MINUS  # an exact zero is -0 only as the sum of two negative zeros
    return encode(quanta(a) * quanta(b) + (quanta(c) << 24), 48, sign if same else 0)


def relu(bits: int) -> int:
    if is_nan(bits):
        return NAN
    return 0 if bits & MINUS else bits


def to_int(bits: int, low: int, high: int) -> tuple[int, bool]:
    """Return the code nearest to the number, ties to even, and whether it saturated or was no number."""
    if is_nan(bits):
        return 0, True
    if is_infinite(bits):
        return (low if bits & MINUS else high), True
    magnitude = half_even(abs(quanta(bits)), 24)
    code = -magnitude if bits & MINUS else magnitude
    return min(max(code, low), high), not low <= code <= high
