"""The bits of the NMPU's ports, from the configuration alone."""

from __future__ import annotations

from collections.abc import Sequence

from cocotb_tests.ports import Field, Ports, Struct
from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, Input, NmpuConfig


def input_lane(config: NmpuConfig) -> Struct:
    """Return the fields of one lane of the input stream."""
    fields = [Field("first", config.input_bits, config.input is Input.CODE)]
    if config.input is Input.COUNTS:
        fields.append(Field("second", config.input_bits))
    if config.partial_sum:
        fields.append(Field("received", config.sum_range.signed_bits, True))
    if config.residual:
        fields.append(Field("residual", config.residual_input.bits, config.residual_input.signed))
    return Struct(tuple(fields))


def output_lane(config: NmpuConfig) -> Struct:
    """Return the fields of one lane of the output stream."""
    fields = [Field("code", config.output.bits, config.output.signed)]
    if config.partial_sum:
        fields.append(Field("sum", config.sum_range.signed_bits, True))
    return Struct(tuple(fields))


def column_parameters(config: NmpuConfig) -> Struct:
    """Return the fields of the parameter write port."""
    ranges = Columns.ranges(config)
    return Struct(tuple(Field.holding(name, held) for name, held in ranges.items() if held != Range(0, 0)))


def layer_parameters(config: NmpuConfig) -> Struct:
    """Return the fields of the layer write port."""
    present: Sequence[tuple[str, int, bool]] = (
        ("shift", Range(0, config.max_layer_shift).unsigned_bits, config.max_layer_shift > 0),
        ("relu_before", 1, config.relu and config.residual),
        ("relu_after", 1, config.relu),
        ("receive", 1, config.partial_sum),
        ("add_residual", 1, config.residual),
        ("last", 1, config.partial_sum),
    )
    return Struct(tuple(Field(name, bits) for name, bits, there in present if there))


def ports(config: NmpuConfig) -> Ports:
    """Return the port fields of a configuration."""
    return Ports(
        units=config.units,
        columns=config.columns,
        input=input_lane(config),
        output=output_lane(config),
        parameters=column_parameters(config),
        layer=layer_parameters(config),
    )
