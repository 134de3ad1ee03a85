"""The bit fields of the unit's ports, derived from a configuration."""

from typing import Any

from amaranth.hdl import signed, unsigned

from golden_model.nmpu_config import Columns, Input, NmpuConfig
from hdl import frame
from hdl.fixed import shape


def input_fields(config: NmpuConfig) -> dict[str, Any]:
    """Return the fields of one lane of the input stream, lowest bits first."""
    fields = {"first": shape(config.input_range)}
    if config.input is Input.COUNTS:
        fields["second"] = shape(config.input_range)
    if config.partial_sum:
        fields["received"] = signed(config.sum_range.signed_bits)
    if config.residual:
        fields["residual"] = shape(config.residual_input.range)
    return fields


def output_fields(config: NmpuConfig) -> dict[str, Any]:
    """Return the fields of one lane of the output stream, lowest bits first."""
    fields = {"code": shape(config.output.range)}
    if config.partial_sum:
        fields["sum"] = signed(config.sum_range.signed_bits)
    return fields


def parameter_fields(config: NmpuConfig) -> dict[str, Any]:
    """Return the run-time parameters that a column of this unit stores, in the order of the mask bits."""
    ranges = Columns.ranges(config)
    return {name: shape(codes) for name, codes in ranges.items() if (codes.lo, codes.hi) != (0, 0)}


def layer_fields(config: NmpuConfig) -> dict[str, Any]:
    """Return the run-time parameters of a layer that exist in this unit, lowest bits first."""
    fields = {"shift": unsigned(config.max_layer_shift.bit_length())} if config.max_layer_shift else {}
    if config.relu and config.residual:
        fields["relu_before"] = unsigned(1)
    if config.relu:
        fields["relu_after"] = unsigned(1)
    if config.partial_sum:
        fields["receive"] = unsigned(1)
    if config.residual:
        fields["add_residual"] = unsigned(1)
    if config.partial_sum:
        fields["last"] = unsigned(1)
    return fields


def members(config: NmpuConfig, *, host: bool = False) -> dict[str, Any]:
    """Return the members of the unit's signature, on request with a host's; `clk`, `rst` come with the clock domain."""
    return frame.members(
        config.units,
        config.columns,
        inputs=input_fields(config),
        outputs=output_fields(config),
        parameters=parameter_fields(config),
        layer=layer_fields(config),
        host=host,
    )


MEANINGS: dict[str, str] = frame.MEANINGS | {
    "i.first": "the count of the positive current, or the signed code",
    "i.second": "the count of the negative current",
    "i.received": "partial sum of the tile before, in output LSB / 2**sum_fraction",
    "i.residual": "operand to add",
    "o.code": "output code; 0 where the tile is not the last",
    "o.sum": "partial sum; 0 where the tile is the last",
    "layer.data": "the layer registers: right shift, the two ReLUs, whether to add `received`, whether to add "
    "`residual`, whether this tile is the column's last",
    "flags": "sticky, one bit a column: something saturated since the last write",
}
"""What a port or a field of a stream's lane carries."""
