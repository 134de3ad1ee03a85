"""The bits of the FP16 unit's ports, from the configuration alone."""

from __future__ import annotations

from cocotb_tests.ports import Field, Ports, Struct
from golden_model.fixed import INT8
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input

LAYER = ("relu_before", "relu_after", "receive", "add_residual", "last", "logits")
"""The layer registers, one bit each, lowest first."""


def parameters(config: Fp16Config) -> tuple[str, ...]:
    """Return the parameters of a column, binary16 each, in the order of the mask bits."""
    second = ("scale_n",) if config.input is Input.COUNTS else ()
    return ("scale_p", *second, "offset", "gamma", "beta", "receive")


def ports(config: Fp16Config) -> Ports:
    """Return the port fields of a configuration."""
    words = [Field.holding("first", config.input_range)]
    if config.input is Input.COUNTS:
        words.append(Field.holding("second", config.input_range))
    words.append(Field("received", 8, True) if config.int8 else Field("received", 16))
    words.append(Field.holding("residual", config.residual_input.range))
    results = [Field.holding("code", config.output.range), Field("half", 16)]
    if config.int8:
        results.append(Field.holding("sum", INT8.range))
    return Ports(
        units=1,
        columns=config.columns,
        input=Struct(tuple(words)),
        output=Struct(tuple(results)),
        parameters=Struct(tuple(Field(name, 16) for name in parameters(config))),
        layer=Struct(tuple(Field(name, 1) for name in LAYER)),
    )
