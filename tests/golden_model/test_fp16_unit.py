"""The FP16 unit against a scalar model of its stated order of operations, over exact binary16."""

from __future__ import annotations

import random
from typing import Any

import binary16_by_definition as exact
import numpy as np
import pytest
import torch

from golden_model.errors import UserError
from golden_model.fixed import INT8, SQ, SYM8, UQ, Format
from golden_model.fp16_unit import Fp16Columns, Fp16Config, fp16_unit
from golden_model.nmpu_config import Input
from sim import float16 as twin

FIELDS = ("scale_p", "scale_n", "offset", "gamma", "beta", "receive")
WORDS = 1000
DEFAULT = Fp16Config()
ONE, HALF, INFINITE = exact.from_int(1), 0x3800, exact.INFINITY


def by_definition(
    config: Fp16Config,
    column: dict[str, int],
    first: int,
    second: int,
    received: int | None,
    residual: int | None,
    relu_before: bool,
    relu_after: bool,
    last: bool,
) -> tuple[int, int, bool]:
    """Return what leaves (bits or a code), x (bits) and the flag; DESIGN's four lines, one element."""
    limits = config.output.range
    start = column["offset"] if received is None or config.int8 else received
    u = exact.fma(exact.from_int(first), column["scale_p"], start)
    v = u
    if config.input is Input.COUNTS:
        v = exact.fma(exact.from_int(second), exact.negate(column["scale_n"]), u)
    if not last and not config.int8:
        return v, v, exact.is_nan(v)
    w = exact.fma(v, column["gamma"], column["beta"])
    if config.int8 and received is not None:
        w = exact.fma(exact.from_int(received), ONE, w)
    if not last:
        return *exact.to_int(w, -128, 127)[:1], w, exact.to_int(w, -128, 127)[1]
    w = exact.relu(w) if relu_before else w
    x = w if residual is None else exact.fma(exact.from_int(residual), column["receive"], w)
    x = exact.relu(x) if relu_after else x
    code, flag = exact.to_int(x, limits.lo, limits.hi)
    return code, x, flag


def parameter(rng: random.Random) -> int:
    """Return a binary16 number: mostly of the size that a scale has, sometimes anything at all."""
    return rng.getrandbits(16) if rng.random() < 0.1 else rng.randrange(0x1000, 0x4000) | rng.getrandbits(1) << 15


def half(bits: Any) -> Any:
    return np.asarray(bits, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("kind", Input)
@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("chained", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_order_of_operations(kind: Input, int8: bool, last: bool, chained: bool, added: bool) -> None:
    rng = random.Random(f"{kind}{int8}{last}{chained}{added}")
    config = Fp16Config(input=kind, int8=int8, output=rng.choice([SYM8, INT8, UQ(8, 0), SQ(4, 0)]))
    low, high = (0, 4095) if kind is Input.COUNTS else (-2048, 2047)
    relus = {"relu_before": rng.random() < 0.5, "relu_after": rng.random() < 0.5}
    columns = [{name: parameter(rng) for name in FIELDS} for _ in range(WORDS)]
    first, second = ([rng.randint(low, high) for _ in range(WORDS)] for _ in range(2))
    received = [rng.randint(-128, 127) if int8 else parameter(rng) for _ in range(WORDS)] if chained else None
    residual = [rng.randint(-128, 127) for _ in range(WORDS)] if added else None
    expected = [
        by_definition(config, column, p, n, s, r, **relus, last=last)
        for column, p, n, s, r in zip(
            columns, first, second, received or [None] * WORDS, residual or [None] * WORDS, strict=True
        )
    ]
    values, x, flags = (list(part) for part in zip(*expected, strict=True))
    parameters = {name: half([column[name] for column in columns]) for name in FIELDS}
    port = received if int8 or received is None else half(received)
    parts: dict[str, Any] = {"received": port, "residual": residual, "last": last} | relus
    counts = (np.array(first), None if kind is Input.CODE else np.array(second))

    result = fp16_unit(config, Fp16Columns(**parameters), *counts, **parts)
    packs = result.values.dtype == np.float16
    assert packs == (not last and not int8)
    assert (result.values.view(np.uint16) if packs else result.values).tolist() == values
    assert result.saturated.tolist() == flags
    if last:
        logits = fp16_unit(config, Fp16Columns(**parameters), *counts, **parts, logits=True)
        assert logits.values.view(np.uint16).tolist() == x

    def tensor(value: Any) -> Any:
        if value is None:
            return None
        value = np.asarray(value)
        return torch.tensor(value.astype(np.float32) if value.dtype == np.float16 else value)

    tensors = Fp16Columns(**{name: tensor(value) for name, value in parameters.items()})
    parts |= {"received": tensor(port), "residual": tensor(residual), "arithmetic": twin}
    other = fp16_unit(config, tensors, *(tensor(count) for count in counts), **parts)
    got = twin.to_half(other.values).view(torch.int16).numpy().view(np.uint16) if packs else other.values
    assert got.tolist() == values
    assert other.saturated.tolist() == flags


def one(config: Fp16Config = DEFAULT, first: int = 0, second: int = 0, **parts: Any) -> tuple[Any, bool]:
    """Run one element of a column whose scales are 1 and whose offsets are 0, but for what is given."""
    columns = {"scale_p": ONE, "scale_n": ONE, "offset": 0, "gamma": ONE, "beta": 0, "receive": ONE}
    columns |= {name: parts.pop(name) for name in FIELDS if name in parts}
    if "received" in parts and not config.int8:
        parts["received"] = half([parts["received"]])
    counts = [[first], None if config.input is Input.CODE else [second]]
    result = fp16_unit(config, Fp16Columns(**{name: half([bits]) for name, bits in columns.items()}), *counts, **parts)
    values = result.values.view(np.uint16) if result.values.dtype == np.float16 else result.values
    return int(values[0]), bool(result.saturated[0])


def test_a_tile_adds_to_the_sum_of_the_tile_before_instead_of_the_offset() -> None:
    assert one(first=3, offset=exact.from_int(40)) == (43, False)
    assert one(first=3, offset=exact.from_int(40), received=exact.from_int(7)) == (10, False)


def test_batch_norm_relu_and_residual_act_on_the_last_tile_alone() -> None:
    parts = {"gamma": HALF, "beta": ONE, "residual": [9], "relu_before": True, "relu_after": True}
    assert one(second=3, **parts, last=False) == (exact.from_int(-3), False)
    assert one(second=3, **parts) == (9, False)


def test_without_an_operand_the_fourth_addition_is_bypassed() -> None:
    assert one(first=5, receive=INFINITE) == (5, False)
    assert one(first=5, receive=INFINITE, residual=[0]) == (0, True)  # 0 * infinity


def test_what_is_no_number_leaves_as_zero_with_a_flag() -> None:
    assert one(first=1, scale_p=exact.NAN) == (0, True)
    assert one(first=1, scale_p=exact.NAN, relu_before=True, relu_after=True) == (0, True)
    assert one(first=1, scale_p=INFINITE, second=1, scale_n=INFINITE) == (0, True)
    assert one(first=1, scale_p=0xFFFF, last=False) == (exact.NAN, True)


def test_infinity_saturates_and_flags() -> None:
    assert one(first=1, scale_p=INFINITE) == (127, True)
    assert one(second=1, scale_n=INFINITE) == (-127, True)
    assert one(second=1, scale_n=INFINITE, relu_after=True) == (0, False)


def test_codes_round_to_nearest_even() -> None:
    for count, code in [(1, 0), (3, 2), (5, 2), (7, 4)]:
        assert one(first=count, scale_p=HALF) == (code, False)
        assert one(second=count, scale_n=HALF) == (-code, False)


def test_a_minus_zero_leaves_a_relu_as_zero() -> None:
    assert one(offset=0x8000, scale_p=0x8000, beta=0x8000, last=True, logits=True)[0] == 0x8000
    assert one(offset=0x8000, scale_p=0x8000, beta=0x8000, relu_before=True, logits=True) == (0, False)


def test_int8_sums_saturate_in_tile_order() -> None:
    config = Fp16Config(int8=True)
    assert one(config, first=100, received=[100], last=False) == (127, True)
    assert one(config, second=100, received=[127], last=False) == (27, False)
    assert one(config, first=300, received=[-128], last=False) == (127, True)


def test_the_default_unit() -> None:
    assert (DEFAULT.input_bits, DEFAULT.columns, DEFAULT.output) == (12, 256, SYM8)
    assert Fp16Config(input_bits=1).input_bits == 1
    assert Fp16Config(input=Input.CODE, input_bits=2).input_bits == 2


@pytest.mark.parametrize("name", ["output", "residual_input"])
@pytest.mark.parametrize("form", [SQ(7, 1), UQ(1, 7)], ids=str)
def test_a_code_has_no_fraction(name: str, form: Format) -> None:
    with pytest.raises(UserError, match=rf"{name} = .* a code has no fraction bits, for example SYM8 or INT8"):
        Fp16Config(**{name: form})


@pytest.mark.parametrize(("kind", "bits", "least"), [(Input.COUNTS, 0, 1), (Input.COUNTS, 17, 1), (Input.CODE, 1, 2)])
def test_widths_that_binary16_cannot_follow(kind: Input, bits: int, least: int) -> None:
    with pytest.raises(UserError, match=rf"input_bits = {bits}: allowed are {least} to 16 \(binary16 ends at 65,504\)"):
        Fp16Config(input=kind, input_bits=bits)
