"""The formulas of the specification, and what has to be proved of the stages that make each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from golden_model.fixed import Range, Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from hdl.nmpu.accumulate import Accumulate, Compress, Gather, Limit
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import (
    AddResidual,
    BatchNormAdd,
    BatchNormMultiply,
    Relu,
    Requantise,
    ResidualMultiply,
    ResidualShift,
)
from hdl.nmpu.stage import Stage
from synth.prove.chain import Part
from synth.prove.obligation import Obligation, constant, inside

_MODES = {Rounding.FLOOR: 0, Rounding.HALF_UP: 1, Rounding.HALF_EVEN: 2, Rounding.HALF_AWAY: 3}
"""The specification's numbers of the roundings."""
_NONE = "128'sd0"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What one module of the specification has to do with the part."""

    parameters: dict[str, int]
    inputs: dict[str, str]
    outputs: dict[str, str]


def _fraction(config: NmpuConfig) -> int:
    """Return the fraction bits of T at shift 0, F."""
    return max(config.scale.fraction, config.offset.fraction)


def _guard(config: NmpuConfig) -> int:
    """Return the fraction bits of a sum."""
    return 0 if config.int8 else config.guard


def _fractions(config: NmpuConfig) -> tuple[int, int]:
    """Return the fraction bits in front of and behind the residual."""
    affine = _fraction(config) + config.max_layer_shift + config.max_column_shift
    normed = max(_guard(config) + config.bn_scale.fraction, config.bn_offset.fraction) + config.max_bn_shift
    total = normed if config.batch_norm else affine
    operand = config.residual_scale.fraction + config.max_residual_shift
    return total, max(total, operand) if config.residual else total


def _affine(config: NmpuConfig, part: Part) -> tuple[_Share, list[tuple[Range, Range]]]:
    """Return the share of products, shift and offset, and what the operands of the products can be."""
    shifts = [name for name in ("shift", "layer_shift") if name in part.inputs]
    inputs = {"offset": "offset_w", "k": " + ".join(f"{name}_w" for name in shifts) or _NONE}
    inputs |= {"first": "first_w", "scale_p": "scale_p_w", "negate": "negate", "added": "cut_0_y_w"}
    outputs = {"added_a": "cut_0_a", "added_b": "cut_0_b"}
    counts, entry, place = config.input is Input.COUNTS, config.input_range, 0
    if counts:
        inputs |= {"second": "second_w", "scale_n": "scale_n_w", "taken": "cut_1_y_w"}
        outputs |= {"taken_a": "cut_1_a", "taken_b": "cut_1_b"}
    else:
        inputs |= dict.fromkeys(("second", "scale_n", "taken"), _NONE)
        if config.cut_pre:
            entry = entry | -entry
        if not part.cuts[0].signed:  # a multiplier without signs has the bits below the code's
            place = config.input_bits - 1
            entry = Range(0, entry.hi)
    parameters = {
        "COUNTS": int(counts),
        "PLACE": place,
        "CUT": config.cut_pre,
        "SCALE_FRACTION": config.scale.fraction,
        "OFFSET_FRACTION": config.offset.fraction,
        "FRACTION": _fraction(config),
        "MOST": config.max_layer_shift + config.max_column_shift,
    }
    share = _Share(parameters=parameters, inputs=inputs, outputs=outputs)
    return share, [(entry, config.scale.range)] * (2 if counts else 1)


def _accumulate(config: NmpuConfig, part: Part) -> tuple[_Share, str]:
    """Return the share of compression and sum, and what is assumed."""
    share = _Share(
        parameters={
            "GUARD": _guard(config),
            "MODE": _MODES[config.rounding],
            "SATURATES": int(config.partial_sum),
            "KEEPS_FRACTION": int(config.partial_sum and not config.batch_norm),
        },
        inputs={
            "received": "received_w" if config.partial_sum else _NONE,
            "rounded": "rounded" if "rounded" in part.inputs else "1'b1",
            "low": constant(config.sum_range.lo),
            "high": constant(config.sum_range.hi),
            "relu_before": "relu_before" if "relu_before" in part.inputs else "1'b0",
        },
        outputs={"positive": "total_out" if "total_out" in part.outputs else "total"}
        | ({"sum_saturated": "sum_saturated"} if config.partial_sum else {}),
    )
    # a tile that receives is rounded: the unit passes 0 where it does not receive
    return share, "(rounded || received == 0)" if "rounded" in part.inputs else "1'b1"


def _requantise(config: NmpuConfig, part: Part) -> _Share:
    """Return the share of the last rounding and the output."""
    limits: Range = config.output.range
    return _Share(
        parameters={"MODE": _MODES[config.rounding]},
        inputs={
            "relu_after": "relu_after" if "relu_after" in part.inputs else "1'b0",
            "low": constant(limits.lo),
            "high": constant(limits.hi),
        },
        outputs={"code": "code", "saturated": "saturated"},
    )


def _rows(config: NmpuConfig) -> dict[str, tuple[str, Range]]:
    """Return T as two rows stand for it, as an expression of the ports, and its range."""
    path = Datapath(config)
    return {"rows": (f"row_a_w + row_b_w - {constant(path.rows_bias)}", path.affine)} if path.carry_save else {}


def affine(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of products, shift and offset."""
    share, operands = _affine(config, part)
    return Obligation(
        name="affine",
        part=part,
        module="spec_affine",
        parameters=share.parameters,
        inputs=share.inputs,
        outputs={"total": "rows" if _rows(config) else "total"} | share.outputs,
        operands=operands,
        numbers=_rows(config),
    )


def accumulate(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of the compression and the sum, with the ReLU where it is a part of them."""
    share, assumed = _accumulate(config, part)
    rows = [inside("rows_w", of) for _, of in _rows(config).values()]
    fraction = _fraction(config) + config.max_layer_shift + config.max_column_shift
    return Obligation(
        name="accumulate",
        part=part,
        module="spec_accumulate_relu",
        parameters={"FRACTION": fraction} | share.parameters,
        inputs={"total": "rows_w" if rows else "total_w"} | share.inputs,
        outputs=share.outputs,
        assumed=" && ".join([assumed, *rows]),
        numbers=_rows(config),
    )


def affine_accumulate(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of products, offset, compression and sum in one adder, with a ReLU behind it."""
    share, operands = _affine(config, part)
    summed, assumed = _accumulate(config, part)
    return Obligation(
        name="affine, accumulate",
        part=part,
        module="spec_affine_accumulate",
        parameters=share.parameters | summed.parameters,
        inputs=share.inputs | summed.inputs,
        outputs=share.outputs | summed.outputs,
        operands=operands,
        assumed=assumed,
    )


def affine_requantise(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of a lane of products, offset and the last rounding alone."""
    share, operands = _affine(config, part)
    last = _requantise(config, part)
    return Obligation(
        name="affine, requantise",
        part=part,
        module="spec_affine_requantise",
        parameters=share.parameters | last.parameters | {"CUT_POST": config.cut_post},
        inputs=share.inputs | last.inputs,
        outputs=share.outputs | last.outputs,
        operands=operands,
    )


def batch_norm(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of the batch norm."""
    guard = _guard(config)
    return Obligation(
        name="batch norm",
        part=part,
        module="spec_batch_norm",
        parameters={
            "GUARD": guard,
            "SCALE_FRACTION": config.bn_scale.fraction,
            "OFFSET_FRACTION": config.bn_offset.fraction,
            "FRACTION": max(guard + config.bn_scale.fraction, config.bn_offset.fraction),
            "MOST": config.max_bn_shift,
        },
        inputs={
            "total": "total_w",
            "bn_scale": "bn_scale_w",
            "bn_offset": "bn_offset_w",
            "bn_shift": "bn_shift_w" if "bn_shift" in part.inputs else _NONE,
            "bn_negate": "bn_negate",
            "product": "cut_0_y_w",
        },
        outputs={"normed": "total_out", "product_a": "cut_0_a", "product_b": "cut_0_b"},
        operands=[(part.inputs["total"], config.bn_scale.range)],
    )


def relu(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of the ReLU in front of the residual."""
    return Obligation(
        name="relu",
        part=part,
        module="spec_relu",
        parameters={},
        inputs={"total": "total_w", "enable": "relu_before"},
        outputs={"positive": "total_out"},
    )


def residual(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of the residual."""
    total, final = _fractions(config)
    return Obligation(
        name="residual",
        part=part,
        module="spec_residual",
        parameters={
            "TOTAL_FRACTION": total,
            "SCALE_FRACTION": config.residual_scale.fraction,
            "FINAL_FRACTION": final,
        },
        inputs={
            "total": "total_w",
            "residual": "residual_w",
            "residual_scale": "residual_scale_w",
            "residual_shift": "residual_shift_w" if "residual_shift" in part.inputs else _NONE,
            "add": "add",
            "product": "cut_0_y_w",
        },
        outputs={"sum": "total_out", "product_a": "cut_0_a", "product_b": "cut_0_b"},
        operands=[(config.residual_input.range, config.residual_scale.range)],
    )


def requantise(config: NmpuConfig, part: Part) -> Obligation:
    """Return what has to be proved of the last rounding and the output."""
    share = _requantise(config, part)
    return Obligation(
        name="requantise",
        part=part,
        module="spec_requantise",
        parameters=share.parameters | {"FRACTION": _fractions(config)[1], "CUT": config.cut_post},
        inputs={"total": "total_w"} | share.inputs,
        outputs=share.outputs,
    )


FORMULAS: dict[tuple[type[Stage], ...], Callable[[NmpuConfig, Part], Obligation]] = {
    (Multiply, Affine, Requantise): affine_requantise,
    (Multiply, Gather, Limit): affine_accumulate,
    (Multiply, Gather): affine_accumulate,
    (Multiply, Affine): affine,
    (Multiply,): affine,
    (Gather, Limit): accumulate,
    (Gather,): accumulate,
    (Compress, Accumulate): accumulate,
    (BatchNormMultiply, BatchNormAdd): batch_norm,
    (Relu,): relu,
    (ResidualMultiply, ResidualShift, AddResidual): residual,
    (Requantise,): requantise,
}
"""Stages one behind the other that make one formula; of two that begin alike the longer comes first."""
