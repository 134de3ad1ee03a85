"""The faults with a name that the FP16 unit gets at its ports."""

from __future__ import annotations

from cocotb_tests.contract import Planted
from cocotb_tests.fp16_unit.ports import ports
from cocotb_tests.planted import frame_faults, layer, parameters
from golden_model.fp16_unit import Fp16Config


def planted(config: Fp16Config) -> list[Planted]:
    """Return the faults of a unit with two counts and four columns."""
    own = ports(config)
    columns, registers = parameters(own), layer(own)
    return [
        *frame_faults(own),
        columns.changed("scale_n is not negated", "scale_n", "s"),
        columns.changed("offset with the wrong sign", "offset", "s"),
        columns.changed("beta ignored", "beta", "0"),
        columns.changed("gamma off by its last bit", "gamma", "^"),
        columns.swapped("scales exchanged", "scale_p", "scale_n"),
        columns.swapped("gamma and receive scale exchanged", "gamma", "receive"),
        registers.swapped("ReLUs exchanged", "relu_before", "relu_after"),
        registers.changed("always receives", "receive", "1"),
        registers.changed("always the last tile", "last", "1"),
        registers.changed("always adds the residual", "add_residual", "1"),
        registers.changed("never logits", "logits", "0"),
        Planted(
            name="a binary16 -0 leaves as +0",
            outputs=(("o__payload", NO_MINUS_ZERO.format(low=own.output.fields[0].bits)),),
        ),
        Planted(
            name="a NaN leaves with its sign bit up",
            outputs=(
                ("o__payload", NEGATIVE_NAN.format(low=own.output.fields[0].bits, top=own.output.fields[0].bits + 15)),
            ),
        ),
    ]


NO_MINUS_ZERO = "(o__payload_s >> {low}) == 16'h8000 ? 0 : o__payload_s"
NEGATIVE_NAN = "(o__payload_s >> {low}) == 16'h7e00 ? o__payload_s | (1 << {top}) : o__payload_s"
"""Of a unit without INT8 sums, whose binary16 output stands highest; the code beside it is 0."""
