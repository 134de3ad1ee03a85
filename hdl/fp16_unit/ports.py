"""The bit fields of the unit's ports, derived from a configuration."""

from typing import Any

from amaranth.hdl import unsigned

from golden_model.fixed import INT8
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input
from hdl import frame
from hdl.fixed import shape

HALF = unsigned(16)
"""A binary16 number as its bits."""


def input_fields(config: Fp16Config) -> dict[str, Any]:
    """Return the fields of a word of the input stream, lowest bits first."""
    fields = {"first": shape(config.input_range)}
    if config.input is Input.COUNTS:
        fields["second"] = shape(config.input_range)
    return fields | {
        "received": shape(INT8.range) if config.int8 else HALF,
        "residual": shape(config.residual_input.range),
    }


def output_fields(config: Fp16Config) -> dict[str, Any]:
    """Return the fields of a word of the output stream, lowest bits first."""
    fields = {"code": shape(config.output.range), "half": HALF}
    return fields | ({"sum": shape(INT8.range)} if config.int8 else {})


def parameter_fields(config: Fp16Config) -> dict[str, Any]:
    """Return the run-time parameters of a column, in the order of the mask bits."""
    names = ["scale_p", "scale_n", "offset", "gamma", "beta", "receive"]
    return {name: HALF for name in names if name != "scale_n" or config.input is Input.COUNTS}


def layer_fields(config: Fp16Config) -> dict[str, Any]:
    """Return the run-time parameters of a layer, lowest bits first."""
    return {name: unsigned(1) for name in ("relu_before", "relu_after", "receive", "add_residual", "last", "logits")}


def members(config: Fp16Config, *, host: bool = False) -> dict[str, Any]:
    """Return the members of the unit's signature, on request with a host's; `clk`, `rst` come with the clock domain."""
    return frame.members(
        1,
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
    "i.received": "partial sum of the tile before: binary16, or INT8",
    "i.residual": "receive operand",
    "o.code": "output code; 0 where the tile is not the last, and of logits",
    "o.half": "binary16: a partial sum, or logits; else 0",
    "o.sum": "INT8 partial sum; 0 where the tile is the last",
    "write.column": "the column, that of word t",
    "write.data": "the parameters, binary16",
    "layer.data": "the layer registers: the two ReLUs, whether to add `received`, whether to add `residual`, whether "
    "this tile is the column's last, whether logits leave instead of codes",
    "flags": "sticky, one bit a column: a code or INT8 sum saturated or was no number, or a binary16 output was none",
}
"""What a port or a field of a stream's word carries."""
