"""The configurations of the FP16 unit that the benches build, as data: each is there for what its comment says."""

from __future__ import annotations

from cocotb_tests.contract import Case, Target
from golden_model.fixed import INT8, SQ, UQ
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input
from synth.mutation import Part

CASES = (
    # Two counts, few columns: every code of every operand, every setting of the layer registers twice.
    Case(name="counts_3", config=Fp16Config(columns=3), words=1500, quick=True),
    # The default: 256 columns.
    Case(name="default_256", config=Fp16Config(), corners=6),
    # One column: the word counter does not exist. One cycle a multiply-add, INT8 codes.
    Case(name="one_cycle_1", config=Fp16Config(columns=1, multiply_add_cycles=1, output=INT8), words=1500),
    # A signed code, two cycles, unsigned output.
    Case(
        name="code_5",
        config=Fp16Config(input=Input.CODE, input_bits=9, columns=5, multiply_add_cycles=2, output=UQ(8, 0)),
        words=1500,
    ),
    # INT8 sums, as HERMES sends them.
    Case(name="int8_3", config=Fp16Config(int8=True, columns=3, output=INT8), words=1500, quick=True),
    # INT8 sums of a signed code that binary16 must round, six cycles, a four-bit unsigned output.
    Case(
        name="int8_code_4",
        config=Fp16Config(
            int8=True, input=Input.CODE, input_bits=13, columns=4, multiply_add_cycles=6, output=UQ(4, 0)
        ),
        words=1500,
    ),
    # The widest operands: counts that are infinite in binary16, 16-bit receive operand and codes; three cycles.
    Case(
        name="wide_4",
        config=Fp16Config(input_bits=16, residual_input=SQ(16, 0), output=SQ(16, 0), columns=4, multiply_add_cycles=3),
        words=1500,
    ),
    # The narrowest: counts of one bit, an unsigned receive operand, an output of one bit; five cycles.
    Case(
        name="narrow_7",
        config=Fp16Config(input_bits=1, residual_input=UQ(8, 0), output=UQ(1, 0), columns=7, multiply_add_cycles=5),
        corners=64,
    ),
    # Six cycles a multiply-add, two counts, INT8 codes.
    Case(name="six_cycles_2", config=Fp16Config(columns=2, multiply_add_cycles=6, output=INT8), corners=64),
)

EXTRA_CASES = (
    # Four columns on one lane, for faults at the ports; INT8 sums have every port.
    Case(name="faulty_int8_4", config=Fp16Config(int8=True, columns=4, multiply_add_cycles=1), words=600, corners=64),
    # The same without INT8 sums, the default's stages.
    Case(name="faulty_counts_4", config=Fp16Config(columns=4, multiply_add_cycles=2), words=600, corners=64),
)
"""Configurations that are not part of the regression: for faults."""

TRACED = "counts_3"
"""What --waves shows where nothing failed."""

MEASURED = ("default_256", "one_cycle_1", "six_cycles_2")
"""The default, and the shortest and longest pipeline."""

PLANTED = "faulty_counts_4"
"""The configuration that gets the faults with names."""

TARGETS = (
    Target(
        case="faulty_counts_4",
        quotas={Part.DATAPATH: 66, Part.STORE: 16, Part.CONTROL: 12, Part.FLAGS: 6},
        short=(200, 32),
        long=(2000, 192),
    ),
)
"""100 faults."""
