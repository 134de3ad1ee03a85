"""The bit fields of the unit's ports, derived from a configuration."""

from typing import Any

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden_model.nmpu_config import Columns, Input, NmpuConfig
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


def members(config: NmpuConfig) -> dict[str, Any]:
    """Return the members of the unit's signature; `clk` and `rst` come with the clock domain."""
    count = config.units * config.columns
    parameters, layer = parameter_fields(config), layer_fields(config)
    write = {
        "en": Out(1),
        "column": Out(max(1, (count - 1).bit_length())),
        "mask": Out(len(parameters)),
        "data": Out(data.StructLayout(parameters)),
    }
    load = {"en": Out(1)} | ({"data": Out(data.StructLayout(layer))} if layer else {})
    return {
        "i": In(stream.Signature(data.ArrayLayout(data.StructLayout(input_fields(config)), config.units))),
        "o": Out(stream.Signature(data.ArrayLayout(data.StructLayout(output_fields(config)), config.units))),
        "write": In(wiring.Signature(write)),
        "layer": In(wiring.Signature(load)),
        "flags": Out(count),
        "idle": Out(1),
    }


MEANINGS: dict[str, str] = {
    "i": "words to process",
    "i.first": "the count of the positive current, or the signed code",
    "i.second": "the count of the negative current",
    "i.received": "partial sum of the tile before, in output LSB / 2**sum_fraction",
    "i.residual": "operand to add",
    "o": "processed words",
    "o.code": "output code; 0 where the tile is not the last",
    "o.sum": "partial sum; 0 where the tile is the last",
    "write.en": "write one column's parameters in this cycle",
    "write.column": "the column t * units + u of word t and lane u",
    "write.mask": "which fields of `write__data` to write, one bit a field in their order",
    "write.data": "the parameters, codes in the configuration's formats",
    "layer.en": "write the layer registers in this cycle and clear all flags",
    "layer.data": "the layer registers: right shift, the two ReLUs, whether to add `received`, whether to add "
    "`residual`, whether this tile is the column's last",
    "flags": "sticky, one bit a column: something saturated since the last write",
    "idle": "no word is under way and the next one is word 0 of a vector",
}
"""What a port or a field of a stream's lane carries."""
