"""Binary16 operations in hardware against the golden model, bit for bit, at every latency."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from numpy.typing import NDArray

from golden_model import float16
from golden_model.fixed import INT8, SQ, SYM8, UQ, Format, Range
from hdl.float16 import LATENCIES, Operation, add, from_int, multiply, multiply_add, to_int

pytestmark = pytest.mark.whole

Bits = NDArray[np.uint16]

_MAGNITUDES = (
    0,
    1,
    0x3FF,
    0x400,
    0xC00,
    0x1400,
    0x3BFF,
    0x3C00,
    0x3C01,
    0x4C00,
    0x5800,
    0x7BFF,
    0x7C00,
    0x7C01,
    0x7E00,
)
SPECIAL = np.array([sign | bits for bits in _MAGNITUDES for sign in (0, 0x8000)], np.uint16)


def halves(rng: np.random.Generator, count: int) -> Bits:
    """Uniform bit patterns, subnormal ones, ones near 1 (they cancel and tie), and special ones."""
    low, sign = rng.integers(0, 1024, count), rng.integers(0, 2, count) << 15
    kinds = [rng.integers(0, 65536, count), sign | rng.integers(0, 3, count) << 10 | low]
    kinds += [sign | rng.integers(12, 19, count) << 10 | low, rng.choice(SPECIAL, count)]
    return np.choose(rng.integers(0, 4, count), kinds).astype(np.uint16)


def real(bits: Bits) -> NDArray[np.float16]:
    return bits.view(np.float16)


def run(operation: Operation, operands: dict[str, Sequence[int]]) -> dict[str, list[int]]:
    """Send one operation a cycle; return all results."""
    component = operation.component()
    found: dict[str, list[int]] = {name: [] for name in operation.results}
    rows = list(zip(*operands.values(), strict=True))

    async def bench(ctx: Any) -> None:
        if operation.latency:
            ctx.set(component.enable, 1)
        for number in range(len(rows) + operation.latency):
            for name, value in zip(operands, rows[min(number, len(rows) - 1)], strict=True):
                ctx.set(getattr(component, name), int(value))
            if number >= operation.latency:
                for name in found:
                    found[name].append(ctx.get(getattr(component, name)))
            if operation.latency:
                await ctx.tick()

    simulator = Simulator(component)
    if operation.latency:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("cycles", LATENCIES)
def test_multiply_add(cycles: int) -> None:
    rng = np.random.default_rng(cycles)
    a, b, c = (halves(rng, 500) for _ in range(3))
    operation = multiply_add(cycles)
    assert operation.latency == cycles
    got = run(operation, {"a": a, "b": b, "c": c})["result"]
    assert got == float16.fused_multiply_add(real(a), real(b), real(c)).view(np.uint16).tolist()


def test_multiply_add_of_all_special_triples() -> None:
    some = SPECIAL[[0, 1, 2, 5, 6, 14, 15, 22, 24, 25, 28]]
    a, b, c = (grid.ravel() for grid in np.meshgrid(some, some, some))
    got = run(multiply_add(1), {"a": a, "b": b, "c": c})["result"]
    assert got == float16.fused_multiply_add(real(a), real(b), real(c)).view(np.uint16).tolist()


def test_near_ties_that_a_second_rounding_would_break() -> None:
    rng = np.random.default_rng(5)
    a = (0x3C00 | rng.integers(0, 1024, 400)).astype(np.uint16)
    b = (np.float16(2.0**-11) / real(a)).view(np.uint16)  # products next to half an LSB of c
    c = (0x3C00 | rng.integers(0, 1024, 400)).astype(np.uint16)
    exact = float16.fused_multiply_add(real(a), real(b), real(c))
    twice = (real(a).astype(np.float32) * real(b).astype(np.float32)).astype(np.float16) + real(c)
    assert (exact != twice).any(), "these operands do not tell one rounding from two"
    assert run(multiply_add(4), {"a": a, "b": b, "c": c})["result"] == exact.view(np.uint16).tolist()


@pytest.mark.parametrize(("build", "second", "golden"), [(multiply, "b", float16.multiply), (add, "c", float16.add)])
def test_multiply_and_add_alone(
    build: Callable[[int], Operation], second: str, golden: Callable[[Any, Any], Any]
) -> None:
    rng = np.random.default_rng(7)
    pairs = [grid.ravel() for grid in np.meshgrid(SPECIAL, SPECIAL)]
    one, other = (np.concatenate([pair, halves(rng, 600)]) for pair in pairs)
    got = run(build(3), {"a": one, second: other})["result"]
    assert got == golden(real(one), real(other)).view(np.uint16).tolist()


@pytest.mark.parametrize("of", [Range(0, 4095), Range(-128, 127), Range(-2048, 2047), Range(0, 1), Range(-127, 127)])
def test_every_integer_to_binary16(of: Range) -> None:
    values = np.arange(of.lo, of.hi + 1)
    assert run(from_int(of), {"value": values})["result"] == float16.from_int(values).view(np.uint16).tolist()


def test_wide_integers_round_to_even_and_end_at_infinity() -> None:
    rng = np.random.default_rng(1)
    edges = np.array([2047, 2048, 2049, 2050, 2051, 4098, 4099, 65503, 65504, 65519, 65520, 65535])
    values = np.concatenate([edges, rng.integers(0, 65536, 600)])
    assert run(from_int(Range(0, 65535)), {"value": values})["result"] == (
        float16.from_int(values).view(np.uint16).tolist()
    )


@pytest.mark.parametrize("output", [SYM8, INT8, UQ(4, 0), UQ(1, 0), SQ(16, 0), UQ(16, 0), SQ(20, 0)])
def test_binary16_to_codes(output: Format) -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([SPECIAL, np.arange(0x4C00, 0x5A00, 11), halves(rng, 600)]).astype(np.uint16)
    codes, lost = float16.to_int(real(x), output)
    got = run(to_int(output), {"x": x})
    assert got["result"] == codes.tolist()
    assert got["lost"] == lost.astype(int).tolist()
