"""The faults with a name that the FP16 unit gets at its ports."""

from __future__ import annotations

from cocotb_tests.contract import Planted
from cocotb_tests.fp16_unit.ports import ports
from cocotb_tests.planted import frame_faults, layer, parameters
from golden_model.fp16_unit import Fp16Config


def planted(config: Fp16Config) -> list[Planted]:
    """Return the faults of a unit with two counts, four columns and binary16 sums."""
    own = ports(config)
    columns, registers = parameters(own), layer(own)
    code = own.output.fields[0].bits
    half = f"o__payload_s[{code + 15}:{code}]"

    def leaves_as(name: str, bits: int, wrong: int) -> Planted:
        output = f"{half} == 16'd{bits} ? {code + 16}'d{wrong << code} : o__payload_s"
        return Planted(name=name, outputs=(("o__payload", output),))

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
        leaves_as("a binary16 -0 leaves as +0", 0x8000, 0),
        leaves_as("a NaN leaves with its sign bit up", 0x7E00, 0xFE00),
        leaves_as("an infinity leaves as the largest number", 0x7C00, 0x7BFF),
    ]
