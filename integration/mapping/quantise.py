"""Quantised parameters: the same float parameters, at the same output scales, with the same care, for every unit.

Moment-aware rounding (ours): rounding a scale moves the mean of its column, so the offset is refitted with the
calibration means, and the scales of a column are rounded jointly over its tiles, to the neighbours that minimise the
variance of the error plus its squared bias after the offset is rounded.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from golden_model import float16
from golden_model.fixed import Format
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from golden_model.nmpu_config import Layer as UnitLayer
from integration.mapping.calibrated import MeasuredLayer
from sim.devices import Floats
from sim.digital import Digital, FloatUnit, Fp16Unit, NmpuUnit, Parameters

EXHAUSTIVE = 6
"""Counts of a column up to which all combinations of neighbours are tried; beyond, one count after the other."""


@dataclass(slots=True, kw_only=True)
class Clips:
    """Parameters that their format could not hold, of one layer and unit."""

    scales: int = 0
    """Scales above the largest value."""
    offsets: int = 0
    """Offsets beyond the format."""
    zeros: int = 0
    """Columns whose scales are not 0 but all round to 0."""
    worst: float = 0.0
    """Largest excess of an offset, output LSB."""

    def __add__(self, other: Clips) -> Clips:
        return Clips(
            scales=self.scales + other.scales,
            offsets=self.offsets + other.offsets,
            zeros=self.zeros + other.zeros,
            worst=max(self.worst, other.worst),
        )


@dataclass(slots=True, kw_only=True)
class UnitParameters:
    """What one unit needs to run one layer."""

    layer: UnitLayer
    tiles: list[Parameters]
    clips: Clips


def parameters(calibrated: MeasuredLayer, unit: Digital) -> UnitParameters:
    """Return a unit's run-time parameters for a layer."""
    match unit:
        case NmpuUnit():
            return _nmpu(calibrated, unit)
        case Fp16Unit():
            return UnitParameters(layer=calibrated.relus, tiles=_fp16(calibrated, unit), clips=Clips())
        case FloatUnit():
            return UnitParameters(layer=calibrated.relus, tiles=float_parameters(calibrated), clips=Clips())
    raise TypeError(f"no parameters for {unit}")


def _lines(calibrated: MeasuredLayer) -> tuple[Floats, Floats]:
    """Return the gains of what is added and of what is subtracted, (tiles, columns) each; zeros for a signed code."""
    gains = calibrated.gains
    return gains[:, 0], gains[:, 1] if gains.shape[1] == 2 else np.zeros_like(gains[:, 0])


def _residual(calibrated: MeasuredLayer) -> float:
    """Return the residual's LSB in output LSB."""
    return (calibrated.residual_scale or 0.0) / calibrated.output_scale


def float_parameters(calibrated: MeasuredLayer) -> list[Parameters]:
    """Return the float unit's parameters, everything folded: output LSB a count."""
    positive, negative = _lines(calibrated)
    factor = calibrated.factor
    tiles: list[Parameters] = []
    for index in range(len(positive)):
        offset = calibrated.total_offset if index == 0 else 0 * factor
        tile = {"scale_p": positive[index] * factor, "scale_n": negative[index] * factor, "offset": offset}
        tile["residual_scale"] = np.full_like(factor, _residual(calibrated))
        tiles.append({name: torch.from_numpy(values.astype(np.float32)) for name, values in tile.items()})
    return tiles


def _fp16(calibrated: MeasuredLayer, unit: Fp16Unit) -> list[Parameters]:
    """Return binary16 parameters: the ADC correction in each tile, batch norm and output scale in gamma and beta.

    A column's scales are moved by a power of two to near 1, where binary16 is normal; gamma takes it back. Beta is
    refitted with the calibration means, as the NMPU's offset is.
    """
    positive, negative = _lines(calibrated)
    top = np.maximum(positive, negative).max(0)
    power = 2.0 ** np.ceil(np.log2(np.where(top > 0, top, 1.0)))
    factor = calibrated.factor * power
    offset = calibrated.offsets.sum(0) / power
    beta = calibrated.layer.beta / calibrated.output_scale

    def half(values: Any) -> Floats:
        return float16.from_float(values).astype(np.float64)

    scales = [(half(p / power), half(n / power)) for p, n in zip(positive, negative, strict=True)]
    gamma = half(factor)
    means = calibrated.means.reshape(len(scales), -1, len(factor))
    drift = 0 * factor
    for index, (p, n) in enumerate(scales):
        drift += means[index, 0] * (p * gamma - positive[index] * calibrated.factor)
        if means.shape[1] == 2:
            drift -= means[index, 1] * (n * gamma - negative[index] * calibrated.factor)
    drift += half(offset) * gamma - offset * factor
    tiles: list[Parameters] = []
    for index, (p, n) in enumerate(scales):
        last, own = index == len(scales) - 1, unit.config.int8 or index == len(scales) - 1
        tile = {
            "scale_p": p,
            "scale_n": n,
            "offset": half(offset) if index == 0 else 0 * gamma,
            "gamma": gamma if own else 0 * gamma,
            "beta": half(beta - drift) if last else 0 * gamma,
            "receive": np.full_like(gamma, half(_residual(calibrated))),
        }
        tiles.append({name: torch.from_numpy(values.astype(np.float32)) for name, values in tile.items()})
    return tiles


def _power(largest: Any, limit: float, most: int) -> Any:
    """Return the largest shift k <= most with largest * 2**k <= limit, 0 or more."""
    safe = np.maximum(largest, 1e-300)
    return np.clip(np.floor(np.log2(limit / safe)), 0, most).astype(np.int64)


def _nmpu(calibrated: MeasuredLayer, unit: NmpuUnit) -> UnitParameters:
    """Return the NMPU's integer parameters."""
    config, clips = unit.config, Clips()
    # Parameters count the LSB before `cut_post`; the cut floors, which the offset takes back on average.
    cut = 0 if calibrated.logits else ((1 << config.cut_post) - 1) / 2
    calibrated = replace(calibrated, output_scale=calibrated.output_scale / (1 << config.cut_post))
    positive, negative = _lines(calibrated)
    factor = calibrated.factor
    fold = np.abs(factor)
    after = config.batch_norm and not calibrated.logits  # logits leave before the batch-norm stage: always folded
    if after:  # tiles carry the converter correction alone, at one scale a layer; gamma comes after the sum
        fold = np.full_like(fold, _tile_fold(calibrated, config))
    negate = factor < 0 if not after else np.zeros_like(factor, dtype=bool)
    added = np.where(negate & (config.input is Input.COUNTS), negative, positive) * fold
    taken = np.where(negate & (config.input is Input.COUNTS), positive, negative) * fold
    largest = np.maximum(added, taken).max(0)
    layer_shift = int(_power(largest.max(initial=0.0), config.scale.largest, config.max_layer_shift))
    shift = _power(largest * 2.0**layer_shift, config.scale.largest, config.max_column_shift)
    unit_codes = 2.0 ** (config.scale.fraction + layer_shift + shift)

    # The counts of a column in the order of `means`: added and subtracted line of each tile, with their signs.
    dual = config.input is Input.COUNTS
    scales = np.stack([added, taken], 1) if dual else added[:, None]
    order = _line_order(calibrated, negate) if dual else None
    means, covariances = _oriented(calibrated, order, negate, dual)
    exact = scales.reshape(-1, scales.shape[-1]) * unit_codes
    total = calibrated.total_offset + cut
    if after:  # what does not fit here goes into the batch norm's offset
        total = (calibrated.offsets.sum(0) * fold).clip(-config.offset.largest, config.offset.largest)
    codes, offset = round_jointly(exact, total, means, covariances, unit_codes, config.scale, config.offset, clips)
    bn: dict[str, Any] = {}
    if after:
        bn = _batch_norm(calibrated, config, fold, codes / unit_codes, exact / unit_codes, offset, means, cut, clips)
    residual = _residual(calibrated)
    residual_shift = int(_power(residual, config.residual_scale.largest, config.max_residual_shift)) if residual else 0
    residual_code = _clipped(np.full(len(factor), residual * 2.0**residual_shift), config.residual_scale, clips)

    integers = unit.integers([{"shift": shift.max(), "residual_shift": residual_shift, **bn}], calibrated.relus)
    by_tile = codes.reshape(len(positive), -1, len(factor))
    tiles: list[Parameters] = []
    for index in range(len(positive)):
        tile: dict[str, Any] = {"scale_p": by_tile[index, 0], "offset": offset if index == 0 else 0 * offset}
        if dual:
            tile["scale_n"] = by_tile[index, 1]
        tile |= {"shift": shift, "negate": negate.astype(np.int64)}
        if index == len(positive) - 1:
            tile |= bn
            if residual:
                tile |= {"residual_scale": residual_code, "residual_shift": residual_shift}
        Columns(**tile).check(config)
        tiles.append({name: _compact(name, values, integers) for name, values in tile.items()})
    relus = calibrated.relus
    layer = UnitLayer(shift=layer_shift, relu_before=relus.relu_before, relu_after=relus.relu_after)
    layer.check(config)
    return UnitParameters(layer=layer, tiles=tiles, clips=clips)


def _tile_fold(calibrated: MeasuredLayer, config: NmpuConfig) -> float:
    """Return the partial-sum LSB a unit of weight times input, where batch norm comes after the sum.

    As large as the scales allow; INT8 sums must also hold five standard deviations of what is summed.
    """
    limits = [config.scale.largest / max(float(calibrated.gains.max()), 1e-300)]
    if config.int8:
        signs = np.array([1.0, -1.0][: calibrated.gains.shape[1]])[None, :, None]
        scales = (calibrated.gains * signs).reshape(calibrated.means.shape)
        spread = np.einsum("ic,jc,ijc->c", scales, scales, calibrated.covariances)
        centre = (scales * calibrated.means).sum(0)
        reach = np.abs(centre) + np.abs(calibrated.offsets.sum(0)) + 5 * np.sqrt(np.maximum(spread, 0))
        limits.append(127 / max(float(reach.max()), 1e-300))
    return min(limits)


def _compact(name: str, values: Any, integers: torch.dtype) -> Any:
    """Return codes as a tensor; shifts and flags that all columns share as one number, which costs a kernel nothing."""
    array = np.asarray(values)
    if (name.endswith(("shift", "negate")) or array.ndim == 0) and (array == array.flat[0]).all():
        return int(array.flat[0])
    return torch.from_numpy(array.astype(np.int64)).to(integers)


def _line_order(calibrated: MeasuredLayer, negate: Any) -> Any:
    """Return, for each count of a column and each column, which measured line stands there: negated are swapped."""
    lines = np.arange(len(calibrated.means)).reshape(-1, 2, 1)
    return np.where(negate, lines[:, ::-1], lines).reshape(len(calibrated.means), -1)


def _oriented(calibrated: MeasuredLayer, order: Any, negate: Any, dual: bool) -> tuple[Floats, Floats]:
    """Return means and covariances of what each scale multiplies, with the sign that it enters the sum."""
    means, covariances = calibrated.means, calibrated.covariances
    if dual:
        signs = np.where(np.arange(len(means)) % 2, -1.0, 1.0)[:, None] * np.ones(means.shape[1])
        means = np.take_along_axis(means, order, 0)
        column = np.arange(means.shape[1])
        covariances = covariances[order[:, None], order[None], column]
    else:
        signs = np.where(negate, -1.0, 1.0) * np.ones_like(means)
    return means * signs, covariances * signs[:, None] * signs[None]


def _clipped(values: Floats, to: Format, clips: Clips) -> Any:
    """Return values as codes of a scale format, counting what does not fit."""
    codes = np.floor(values * 2.0**to.fraction + 0.5)
    clips.scales += int((codes > to.range.hi).sum())
    return codes.clip(to.range.lo, to.range.hi).astype(np.int64)


def round_jointly(
    exact: Floats,
    offset: Floats,
    means: Floats,
    covariances: Floats,
    unit_codes: Floats,
    scale_format: Format,
    offset_format: Format,
    clips: Clips,
) -> tuple[Any, Any]:
    """Round the scales of each column to codes, jointly, and its offset to what is best beside them.

    exact: (counts, columns), scales in codes; offset: (columns,), output LSB; means, covariances: of the signed counts;
    unit_codes: codes an output LSB a count. Returns scale codes (counts, columns) and offset codes (columns,).
    """
    low, high = scale_format.range.lo, scale_format.range.hi
    counts, columns = exact.shape
    clips.scales += int((exact > high + 0.5).sum())
    clips.zeros += int(((exact.max(0) > 0) & (np.floor(exact + 0.5).max(0) == 0)).sum())
    floor = np.floor(exact).clip(low, high)
    ceiling = np.ceil(exact).clip(low, high)

    def offset_codes(errors: Floats) -> tuple[Floats, Floats]:
        bias = (errors * means).sum(0) / unit_codes
        wanted = (offset - bias) * 2.0**offset_format.fraction
        codes = np.floor(wanted + 0.5).clip(offset_format.range.lo, offset_format.range.hi)
        return codes, (codes - wanted) * offset_format.lsb

    def cost(codes: Floats) -> Floats:
        errors = codes - exact
        variance = np.zeros(columns)
        for i in range(counts):
            for j in range(counts):
                variance += errors[i] * errors[j] * covariances[i, j]
        return variance / unit_codes**2 + offset_codes(errors)[1] ** 2

    best = np.floor(exact + 0.5).clip(low, high)
    least = cost(best)

    def consider(codes: Floats) -> None:
        nonlocal best, least
        now = cost(codes)
        better = now < least
        best, least = np.where(better, codes, best), np.where(better, now, least)

    if counts <= EXHAUSTIVE:
        for choice in itertools.product((False, True), repeat=counts):
            consider(np.where(np.array(choice)[:, None], ceiling, floor))
    else:
        for _ in range(3):
            for i in range(counts):
                for neighbour in (floor, ceiling):
                    changed = best.copy()
                    changed[i] = neighbour[i]
                    consider(changed)
    codes, left = offset_codes(best - exact)
    clipped = np.abs(left) > offset_format.lsb * 0.5 + 1e-9
    clips.offsets += int(clipped.sum())
    clips.worst = max(clips.worst, float(np.abs(left[clipped]).max(initial=0.0)))
    return best.astype(np.int64), codes.astype(np.int64)


def _batch_norm(
    calibrated: MeasuredLayer,
    config: NmpuConfig,
    fold: Floats,
    scales: Floats,
    exact: Floats,
    offset: Any,
    means: Floats,
    cut: float,
    clips: Clips,
) -> dict[str, Any]:
    """Return the parameters of the batch-norm stage: gamma over what the tiles already apply."""
    ratio = calibrated.factor / fold
    shift = _power(np.abs(ratio), config.bn_scale.largest, config.max_bn_shift)
    codes = _clipped(np.abs(ratio) * 2.0**shift, config.bn_scale, clips)
    applied = np.sign(ratio) * codes / 2.0 ** (config.bn_scale.fraction + shift)
    # Refit the offset with the means: what the tiles sum to, times what the batch norm now applies.
    summed = (scales * means).sum(0) + offset * config.offset.lsb
    wanted = (exact * means).sum(0) * ratio + calibrated.total_offset + cut - summed * applied
    steps = wanted * 2.0**config.bn_offset.fraction
    rounded = np.floor(steps + 0.5).clip(config.bn_offset.range.lo, config.bn_offset.range.hi)
    left = np.abs(rounded - steps) * config.bn_offset.lsb
    clips.offsets += int((left > config.bn_offset.lsb * 0.5 + 1e-9).sum())
    clips.worst = max(clips.worst, float(left.max(initial=0.0)) if (left > config.bn_offset.lsb).any() else 0.0)
    return {
        "bn_scale": codes,
        "bn_shift": shift,
        "bn_negate": (ratio < 0).astype(np.int64),
        "bn_offset": rounded.astype(np.int64),
    }
