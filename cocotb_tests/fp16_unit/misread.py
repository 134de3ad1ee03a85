"""Misreadings of the FP16 unit's specification, each of which the bench must tell from the hardware.

A function of the golden model is replaced by a wrong one, and the sound hardware must then disagree with it, on the
very words that would show the same fault in the hardware.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cocotb_tests.contract import Misread
from golden_model import float16
from golden_model import fp16_unit as golden
from golden_model.fixed import Format
from golden_model.nmpu import Output

_FMA, _FROM_INT, _TO_INT, _RELU = float16.fused_multiply_add, float16.from_int, float16.to_int, float16.relu
_SCALE, _UNIT = golden.convert_and_scale, golden.fp16_unit


def _exact(a: Any, b: Any, c: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.float64(a) * np.float64(b) + np.float64(c)


def _cut(value: Any, up: float) -> Any:
    """Return real values as binary16: magnitude plus `up` LSB, floored."""
    exponent = np.maximum(np.frexp(value)[1] - 1, -14) - 10
    with np.errstate(all="ignore"):
        kept = np.ldexp(np.floor(np.ldexp(np.abs(value), -exponent) + up), exponent)
        return float16.from_float(np.where(np.isfinite(value), np.copysign(kept, value), value))


def _away(value: Any) -> Any:
    return _cut(np.asarray(value, np.float64), 0.5)


def _flushed(value: Any) -> Any:
    wide = np.asarray(value, np.float16)
    return np.where(np.abs(wide) < np.float16(2.0**-14), np.copysign(np.float16(0), wide), wide)


def _narrow(a: Any, b: Any, c: Any) -> Any:
    with np.errstate(all="ignore"):
        return float16.from_float(np.float32(a) * np.float32(b) + np.float32(c))


def _finite(a: Any, b: Any, c: Any) -> Any:
    found = _FMA(a, b, c)
    whole = np.isfinite(_exact(a, b, c)) & np.isinf(found)
    return np.where(whole, np.copysign(np.float16(65504), found), found)


def _payload(a: Any, b: Any, c: Any) -> Any:
    c = np.broadcast_to(np.asarray(c, np.float16), _FMA(a, b, c).shape)
    return np.where(np.isnan(c), c, _FMA(a, b, c))


def _zeros_negative(a: Any, b: Any, c: Any) -> Any:
    found, live = _FMA(a, b, c), np.isfinite(_exact(a, b, c)) & (np.asarray(c) != 0)
    return np.where(live & (_exact(a, b, c) == 0), np.float16(-0.0), found)


def _to_int_away(value: Any, output: Format) -> tuple[Any, Any]:
    wide = np.asarray(value, np.float64)
    with np.errstate(all="ignore"):
        tie = np.abs(wide) % 1 == 0.5
    return _TO_INT(np.where(tie, np.float16(np.trunc(wide) + np.sign(wide)), value), output)


def _to_int_floored(value: Any, output: Format) -> tuple[Any, Any]:
    codes, lost = _TO_INT(np.floor(value), output)
    return codes, lost


def _to_int_wraps(value: Any, output: Format) -> tuple[Any, Any]:
    codes, lost = _TO_INT(value, output)
    with np.errstate(all="ignore"):
        whole = np.nan_to_num(np.rint(np.asarray(value, np.float64)), nan=0.0, posinf=0.0, neginf=0.0).astype(np.int64)
    low, span = output.range.lo, 1 << output.bits
    return np.where(np.isfinite(value), (whole - low) % span + low, codes), lost


def _to_int_nan(value: Any, output: Format) -> tuple[Any, Any]:
    codes, lost = _TO_INT(value, output)
    return np.where(np.isnan(value), output.range.hi, codes), lost


def _to_int_unflagged(which: Callable[[Any], Any]) -> Callable[..., Any]:
    def wrong(value: Any, output: Format) -> tuple[Any, Any]:
        codes, lost = _TO_INT(value, output)
        return codes, lost & ~which(value)

    return wrong


def _n_before_p(config: Any, columns: Any, first: Any, second: Any, addend: Any, arithmetic: Any = float16) -> Any:
    u = float16.fused_multiply_add(float16.from_int(second), float16.negate(columns.scale_n), addend)
    return float16.fused_multiply_add(float16.from_int(first), columns.scale_p, u)


def _addend_last(config: Any, columns: Any, first: Any, second: Any, addend: Any, arithmetic: Any = float16) -> Any:
    return float16.add(_SCALE(config, columns, first, second, np.float16(-0.0)), addend)


def _difference_first(
    config: Any, columns: Any, first: Any, second: Any, addend: Any, arithmetic: Any = float16
) -> Any:
    return float16.fused_multiply_add(float16.from_int(first - second), columns.scale_p, addend)


def _adds_nothing(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    residual = given.pop("residual", None)
    return _UNIT(config, columns, first, second, residual=0 * first if residual is None else residual, **given)


def _residual_last(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    residual = given.pop("residual", None)
    if residual is None or not given["last"]:
        return _UNIT(config, columns, first, second, **given)
    x = _UNIT(config, columns, first, second, **given | {"logits": True}).values
    x = float16.fused_multiply_add(float16.from_int(residual), columns.receive, x)
    return Output(x, x != x) if given["logits"] else Output(*float16.to_int(x, config.output))


def _relus_exchanged(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    relus = {"relu_before": given["relu_after"], "relu_after": given["relu_before"]}
    return _UNIT(config, columns, first, second, **given | relus)


def _offset_stays(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    if given.get("received") is not None and not config.int8:
        given["received"] = float16.add(given["received"], columns.offset)
    return _UNIT(config, columns, first, second, **given)


def _offset_once(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    if given.get("received") is not None:
        columns = replace(columns, offset=np.float16(0) * np.zeros_like(columns.offset))
    return _UNIT(config, columns, first, second, **given)


def _every_tile_scaled(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    found = _UNIT(config, columns, first, second, **given)
    if given["last"] or config.int8:
        return found
    v = float16.fused_multiply_add(found.values, columns.gamma, columns.beta)
    return Output(v, v != v)


def _infinite_half_flags(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    found = _UNIT(config, columns, first, second, **given)
    if found.values.dtype != np.float16:
        return found
    return Output(found.values, ~np.isfinite(found.values))


def _logits_rounded(config: Any, columns: Any, first: Any, second: Any = None, **given: Any) -> Output:
    found = _UNIT(config, columns, first, second, **given)
    return Output(np.rint(found.values), found.saturated) if given["last"] and given["logits"] else found


COUNTS, INT8_SUMS, CODE, WIDE = "faulty_counts_4", "faulty_int8_4", "code_5", "wide_4"


def _arithmetic(name: str, function: str, wrong: Callable[..., Any], case: str = COUNTS) -> Misread:
    return Misread(name=name, case=case, module=float16, replaced={function: wrong})


def _unit(name: str, function: str, wrong: Callable[..., Any], case: str = COUNTS) -> Misread:
    return Misread(name=name, case=case, module=golden, replaced={function: wrong})


MISREADINGS: tuple[Misread, ...] = (
    *(
        misread
        for case in (COUNTS, INT8_SUMS, CODE)
        for misread in (
            _arithmetic(
                "two roundings",
                "fused_multiply_add",
                lambda a, b, c: float16.add(float16.multiply(a, b), c),
                case,
            ),
            _arithmetic("ties away from 0", "fused_multiply_add", lambda a, b, c: _away(_exact(a, b, c)), case),
        )
    ),
    *(
        _arithmetic("the sum is rounded to binary32 first", "fused_multiply_add", _narrow, case)
        for case in (COUNTS, CODE)
    ),
    _arithmetic("truncates", "fused_multiply_add", lambda a, b, c: _cut(_exact(a, b, c), 0.0)),
    _arithmetic("subnormal results are 0", "fused_multiply_add", lambda a, b, c: _flushed(_FMA(a, b, c))),
    _arithmetic(
        "subnormal operands are 0", "fused_multiply_add", lambda a, b, c: _FMA(_flushed(a), _flushed(b), _flushed(c))
    ),
    _arithmetic("overflow is 65,504", "fused_multiply_add", _finite),
    _arithmetic("a NaN keeps its payload", "fused_multiply_add", _payload),
    _arithmetic("a sum that cancels is -0", "fused_multiply_add", _zeros_negative),
    _arithmetic("subnormal sums are 0", "add", lambda a, b: _flushed(float16.from_float(_exact(a, 1, b))), INT8_SUMS),
    _arithmetic("counts: ties away from 0", "from_int", lambda value: _away(value)),
    _arithmetic("counts truncate", "from_int", lambda value: _cut(np.asarray(value, np.float64), 0.0)),
    _arithmetic(
        "counts end at 65,504", "from_int", lambda value: np.minimum(_FROM_INT(value), np.float16(65504)), WIDE
    ),
    _arithmetic("-s_n is 0 - s_n", "negate", lambda value: float16.add(np.float16(0), -np.asarray(value))),
    _arithmetic("s_n is not negated", "negate", lambda value: value),
    _arithmetic("relu(-0) is -0", "relu", lambda x: np.where(np.asarray(x) == 0, x, _RELU(x))),
    _arithmetic("relu(NaN) is 0", "relu", lambda x: np.where(np.isnan(x), np.float16(0), _RELU(x))),
    _arithmetic("ReLUs are left out", "relu", lambda x: x),
    _arithmetic("codes: ties away from 0", "to_int", _to_int_away),
    _arithmetic("codes are floored", "to_int", _to_int_floored),
    _arithmetic("codes wrap", "to_int", _to_int_wraps),
    _arithmetic("NaN is the largest code", "to_int", _to_int_nan),
    _arithmetic("NaN raises no flag", "to_int", _to_int_unflagged(np.isnan)),
    _arithmetic("infinity raises no flag", "to_int", _to_int_unflagged(np.isinf)),
    _arithmetic("saturation raises no flag", "to_int", _to_int_unflagged(np.isfinite)),
    _unit("count n before count p", "convert_and_scale", _n_before_p),
    _unit("the addend comes last", "convert_and_scale", _addend_last),
    _unit("one scale for both counts", "convert_and_scale", _difference_first),
    _unit("no residual adds 0 * r", "fp16_unit", _adds_nothing),
    _unit("the residual is added behind the second ReLU", "fp16_unit", _residual_last),
    _unit("ReLUs exchanged", "fp16_unit", _relus_exchanged),
    _unit("the offset is added to a received sum", "fp16_unit", _offset_stays),
    _unit("every tile applies gamma and beta", "fp16_unit", _every_tile_scaled),
    _unit("INT8: the offset is the first tile's alone", "fp16_unit", _offset_once, INT8_SUMS),
    _unit("an infinite binary16 output raises a flag", "fp16_unit", _infinite_half_flags),
    _unit("logits are whole numbers", "fp16_unit", _logits_rounded),
)
"""What an engineer might read wrong in the specification."""
