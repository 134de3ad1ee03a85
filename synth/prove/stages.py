"""What has to be proved of the NMPU's stages, in the order of the data: each group of stages against its formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from golden_model.fixed import Range, Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from hdl.nmpu.accumulate import Accumulate, Compress
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.final import AddResidual, BatchNormAdd, BatchNormMultiply, Relu, Requantise, ResidualMultiply
from hdl.nmpu.stage import Stage
from synth.prove.chain import chain
from synth.prove.obligation import Obligation, constant

_MODES = {Rounding.FLOOR: 0, Rounding.HALF_UP: 1, Rounding.HALF_EVEN: 2, Rounding.HALF_AWAY: 3}
"""The specification's numbers of the roundings."""

GROUPS: dict[str, tuple[type[Stage], ...]] = {
    "affine": (Multiply, Affine),
    "accumulate": (Compress, Accumulate),
    "batch norm": (BatchNormMultiply, BatchNormAdd),
    "relu": (Relu,),
    "residual": (ResidualMultiply, AddResidual),
    "requantise": (Requantise,),
}
"""Stages that make one formula of the specification."""


def obligations(config: NmpuConfig) -> Iterator[Obligation]:
    """Return what has to be proved of the stages that a configuration has, in the order of the data.

    What a group takes as its total is the range that the group in front was proved to stay in; else an AssertionError.
    """
    exists = {
        "affine": True,
        "accumulate": config.partial_sum or config.batch_norm,
        "batch norm": config.batch_norm,
        "relu": config.relu and config.residual,
        "residual": config.residual,
        "requantise": True,
    }
    before: Range | None = None
    for name, make in MAKERS.items():
        if exists[name]:
            each = make(config)
            taken = each.part.inputs.get("total", before)
            assert before == taken, f"{name} takes {taken} and is given {before}"
            before = each.part.outputs.get("total_out", each.part.outputs.get("total"))
            yield each


def group(config: NmpuConfig, name: str) -> list[Stage]:
    """Return the stages of a group."""
    return [stage(config) for stage in GROUPS[name]]


def affine(config: NmpuConfig, stages: list[Stage] | None = None) -> Obligation:
    """Return what has to be proved of products, shift and offset."""
    part = chain(stages or group(config, "affine"))
    shifts = [name for name in ("shift", "layer_shift") if name in part.inputs]
    inputs = {"offset": "offset_w", "k": " + ".join(f"{name}_w" for name in shifts) or "128'sd0"}
    inputs |= {"first": "first_w", "scale_p": "scale_p_w", "negate": "negate", "added": "cut_0_y_w"}
    outputs = {"total": "total", "added_a": "cut_0_a", "added_b": "cut_0_b"}
    counts = config.input is Input.COUNTS
    if counts:
        inputs |= {"second": "second_w", "scale_n": "scale_n_w", "taken": "cut_1_y_w"}
        outputs |= {"taken_a": "cut_1_a", "taken_b": "cut_1_b"}
    entry = config.input_range
    if config.cut_pre and not counts:
        entry = entry | -entry
    return Obligation(
        name="affine",
        part=part,
        module=f"spec_affine_{config.input.value if not counts else 'counts'}",
        parameters={
            "CUT": config.cut_pre,
            "SCALE_FRACTION": config.scale.fraction,
            "OFFSET_FRACTION": config.offset.fraction,
            "FRACTION": max(config.scale.fraction, config.offset.fraction),
            "MOST": config.max_layer_shift + config.max_column_shift,
        },
        inputs=inputs,
        outputs=outputs,
        operands=[(entry, config.scale.range)] * (2 if counts else 1),
    )


def accumulate(config: NmpuConfig, stages: list[Stage] | None = None) -> Obligation:
    """Return what has to be proved of the compression and the sum."""
    part = chain(stages or group(config, "accumulate"))
    fraction = max(config.scale.fraction, config.offset.fraction) + config.max_layer_shift + config.max_column_shift
    chooses = config.partial_sum and not config.batch_norm
    outputs = {"sum": "total_out"}
    if config.partial_sum:
        outputs["sum_saturated"] = "sum_saturated"
    return Obligation(
        name="accumulate",
        part=part,
        module="spec_accumulate",
        parameters={
            "FRACTION": fraction,
            "GUARD": 0 if config.int8 else config.guard,
            "MODE": _MODES[config.rounding],
            "SATURATES": int(config.partial_sum),
            "KEEPS_FRACTION": int(chooses),
        },
        inputs={
            "total": "total_w",
            "received": "received_w" if config.partial_sum else "128'sd0",
            "rounded": "rounded" if "rounded" in part.inputs else "1'b1",
            "low": constant(config.sum_range.lo),
            "high": constant(config.sum_range.hi),
        },
        outputs=outputs,
        # a tile that receives is rounded: the unit passes 0 where it does not receive
        assumed="(rounded || received == 0)" if "rounded" in part.inputs else "1'b1",
    )


def batch_norm(config: NmpuConfig, stages: list[Stage] | None = None) -> Obligation:
    """Return what has to be proved of the batch norm."""
    part = chain(stages or group(config, "batch norm"))
    guard = 0 if config.int8 else config.guard
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
            "bn_shift": "bn_shift_w" if "bn_shift" in part.inputs else "128'sd0",
            "bn_negate": "bn_negate",
            "product": "cut_0_y_w",
        },
        outputs={"normed": "total_out", "product_a": "cut_0_a", "product_b": "cut_0_b"},
        operands=[(part.inputs["total"], config.bn_scale.range)],
    )


def relu(config: NmpuConfig, stages: list[Stage] | None = None) -> Obligation:
    """Return what has to be proved of the ReLU in front of the residual."""
    return Obligation(
        name="relu",
        part=chain(stages or group(config, "relu")),
        module="spec_relu",
        parameters={},
        inputs={"total": "total_w", "enable": "relu_before"},
        outputs={"positive": "total_out"},
    )


def residual(config: NmpuConfig, stages: list[Stage] | None = None) -> Obligation:
    """Return what has to be proved of the residual."""
    part = chain(stages or group(config, "residual"))
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
            "residual_shift": "residual_shift_w" if "residual_shift" in part.inputs else "128'sd0",
            "add": "add",
            "product": "cut_0_y_w",
        },
        outputs={"sum": "total_out", "product_a": "cut_0_a", "product_b": "cut_0_b"},
        operands=[(config.residual_input.range, config.residual_scale.range)],
    )


def requantise(config: NmpuConfig, stages: list[Stage] | None = None) -> Obligation:
    """Return what has to be proved of the last rounding and the output."""
    part = chain(stages or group(config, "requantise"))
    limits: Range = config.output.range
    return Obligation(
        name="requantise",
        part=part,
        module="spec_requantise",
        parameters={"FRACTION": _fractions(config)[1], "MODE": _MODES[config.rounding], "CUT": config.cut_post},
        inputs={
            "total": "total_w",
            "relu_after": "relu_after" if "relu_after" in part.inputs else "1'b0",
            "low": constant(limits.lo),
            "high": constant(limits.hi),
        },
        outputs={"code": "code", "saturated": "saturated"},
    )


def _fractions(config: NmpuConfig) -> tuple[int, int]:
    """Return the fraction bits in front of and behind the residual."""
    guard = 0 if config.int8 else config.guard
    affine_ = max(config.scale.fraction, config.offset.fraction) + config.max_layer_shift + config.max_column_shift
    normed = max(guard + config.bn_scale.fraction, config.bn_offset.fraction) + config.max_bn_shift
    total = normed if config.batch_norm else affine_
    operand = config.residual_scale.fraction + config.max_residual_shift
    return total, max(total, operand) if config.residual else total


MAKERS: dict[str, Callable[..., Obligation]] = {
    "affine": affine,
    "accumulate": accumulate,
    "batch norm": batch_norm,
    "relu": relu,
    "residual": residual,
    "requantise": requantise,
}
"""What has to be proved of each group."""
