"""What an engineer might read wrong in the specification of the array, as replacements of golden functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cocotb_tests.contract import Misread
from golden_model.scale_array import model
from golden_model.scale_array.config import ScaleArrayConfig

CASE = "faulty_8"
_ACCUMULATE, _DECODE, _ACTIVITY, _READ_OUT = model.accumulate, model.decode, model.activity, model.read_out


def _meant(table: tuple[int, ...], illegal: tuple[int, ...] = (2,), binary: tuple[int, ...] = (1, 1, -1, -1)) -> Any:
    """Return a decoder with these values of the codes 0..3, these illegal ones, and these values in binary mode."""

    def decode(codes: Any, binary_mode: bool = False) -> Any:
        wrong = np.isin(codes, illegal)
        return (np.array(binary)[codes], wrong & False) if binary_mode else (np.array(table)[codes], wrong)

    return decode


def _binary_ignored(codes: Any, binary_mode: bool = False) -> Any:
    return _DECODE(codes, False)


def _binary_flags(codes: Any, binary_mode: bool = False) -> Any:
    return _DECODE(codes, binary_mode)[0], codes == model.ILLEGAL


def _saturates(config: ScaleArrayConfig, total: Any) -> Any:
    return np.clip(total, config.sum_range.lo, config.sum_range.hi)


def _steps(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
    """Return the exact sums behind every stream."""
    return (p * scales).cumsum(-2)


def _flag(outside: Callable[[ScaleArrayConfig, Any], Any]) -> Callable[..., Any]:
    """Return an accumulator with another rule of overflow, from exact prefixes (arrays, streams, columns)."""

    def accumulate(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
        return _ACCUMULATE(config, scales, p)[0], outside(config, _steps(config, scales, p))

    return accumulate


def _beyond(config: ScaleArrayConfig, total: Any, low: int = 0, high: int = 0) -> Any:
    return (total < config.sum_range.lo + low) | (total > config.sum_range.hi + high)


def _with(change: Callable[[ScaleArrayConfig, Any, Any], tuple[Any, Any]]) -> Callable[..., Any]:
    """Return an accumulator that gets other scales and p."""

    def accumulate(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
        return _ACCUMULATE(config, *change(config, scales, p))

    return accumulate


def _signed(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
    half = 1 << (config.scale_bits - 1)
    return (scales ^ half) - half, p


def _weighed(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
    return scales << np.arange(len(scales))[:, None], p


def _complement(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
    return scales + np.where(p < 0, 1, 0), p


def _never_cleared(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
    values, overflowed = _ACCUMULATE(config, scales, p)
    return model.wrap(config, values.cumsum(0)), overflowed


def _last_dropped(config: ScaleArrayConfig, scales: Any, p: Any) -> Any:
    values, overflowed = _ACCUMULATE(config, scales, p)
    return values * (p[:, -1] != 0), overflowed


def _rows_outermost(config: ScaleArrayConfig) -> Any:
    return np.sort(_READ_OUT(config).ravel()).reshape(config.slots, config.lanes)


def _halves(config: ScaleArrayConfig) -> Any:
    """Lanes one behind the other instead of every second word."""
    slot, lane = np.arange(config.slots)[:, None], np.arange(config.lanes)
    return slot % config.scale_bits * config.words + slot // config.scale_bits * config.lanes + lane


def _backwards(config: ScaleArrayConfig) -> Any:
    return _READ_OUT(config)[:, ::-1]


def _passes_backwards(config: ScaleArrayConfig) -> Any:
    return np.roll(_READ_OUT(config), config.scale_bits, axis=0)


def _work(**changes: Callable[[Any, Any], int]) -> Callable[..., Any]:
    """Return an activity with some counts made otherwise, from the right ones and p."""

    def activity(config: ScaleArrayConfig, p: Any) -> Any:
        right = _ACTIVITY(config, p)
        return replace(right, **{name: change(right, p) for name, change in changes.items()})

    return activity


def _model(name: str, replaced: str, wrong: Callable[..., Any]) -> Misread:
    return Misread(name=name, case=CASE, module=model, replaced={replaced: wrong})


MISREADINGS: tuple[Misread, ...] = (
    _model("the illegal code is +1", "decode", _meant((0, 1, 1, -1))),
    _model("the illegal code is -1", "decode", _meant((0, 1, -1, -1))),
    _model("the illegal code raises no flag", "decode", _meant((0, 1, 0, -1), illegal=())),
    _model("every zero raises a flag", "decode", _meant((0, 1, 0, -1), illegal=(0, 2))),
    _model("01 is -1 and 11 is +1", "decode", _meant((0, -1, 0, 1))),
    _model("sign and magnitude: 10 is -1 and 11 illegal", "decode", _meant((0, 1, -1, 0), illegal=(3,))),
    _model("binary mode is ignored", "decode", _binary_ignored),
    _model("binary mode: 00 rests", "decode", _meant((0, 1, 0, -1), binary=(0, 1, -1, -1))),
    _model("binary mode: bit 0 is the sign", "decode", _meant((0, 1, 0, -1), binary=(1, -1, 1, -1))),
    _model("binary mode: 1 is +1", "decode", _meant((0, 1, 0, -1), binary=(-1, -1, 1, 1))),
    _model("binary mode: 10 is illegal", "decode", _binary_flags),
    _model("sums saturate", "wrap", _saturates),
    _model("overflow raises no flag", "accumulate", _flag(lambda config, total: (total != total).any(-2))),
    _model("overflow is judged at the end", "accumulate", _flag(lambda config, total: _beyond(config, total[:, -1]))),
    _model("one more code at the top", "accumulate", _flag(lambda c, total: _beyond(c, total, high=1).any(-2))),
    _model("one code less at the bottom", "accumulate", _flag(lambda c, total: _beyond(c, total, low=1).any(-2))),
    _model("overflow upwards alone", "accumulate", _flag(lambda c, total: (total > c.sum_range.hi).any(-2))),
    _model("scales are signed", "accumulate", _with(_signed)),
    _model("2^j is not folded in", "accumulate", _with(_weighed)),
    _model("subtracts the complement without its carry", "accumulate", _with(_complement)),
    _model("streams in reverse order", "accumulate", _with(lambda config, s, p: (s[::-1], p))),
    _model("every stream has the first one's scales", "accumulate", _with(lambda config, s, p: (s[:1] + 0 * s, p))),
    _model("sums are never cleared", "accumulate", _never_cleared),
    _model("p = 0 in the last stream drops the sum", "accumulate", _last_dropped),
    _model("sums leave in the order of the columns", "read_out", _rows_outermost),
    _model("passes take halves of a row", "read_out", _halves),
    _model("lanes leave backwards", "read_out", _backwards),
    _model("the second pass comes first", "read_out", _passes_backwards),
    _model("reading out is no read", "activity", _work(reads=lambda right, p: right.computes)),
    _model("the last stream is stored", "activity", _work(stores=lambda right, p: right.computes)),
    _model("resting words are no operations", "activity", _work(operations=lambda right, p: right.computes)),
    _model("p = -1 works twice", "activity", _work(computes=lambda right, p: right.computes + int((p < 0).sum()))),
)
"""What an engineer might read wrong."""
