"""The configurations of the NMPU that the benches build, as data: each is there for what its comment says."""

from __future__ import annotations

from cocotb_tests.contract import Case, Target
from golden_model.fixed import INT8, SQ, SYM8, UQ, Format, Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from synth.mutation import Part


def _uint(bits: int) -> Format:
    return UQ(bits, 0)


CASES = (
    # The smallest unit: one lane, one column, no optional stage but the ReLU; a signed code.
    Case(
        name="single_1x1",
        config=NmpuConfig(
            input=Input.CODE, partial_sum=False, residual=False, guard=0, units=1, columns=1, output=SYM8
        ),
        words=1500,
        quick=True,
    ),
    # One column a lane: the word counter does not exist.
    Case(
        name="dual_16x1",
        config=NmpuConfig(residual=False, rounding=Rounding.HALF_EVEN, output=INT8, units=16, columns=1),
        corners=24,
    ),
    # The default: 64 lanes, 4 columns, partial sums and residual, folded batch norm.
    Case(name="default_64x4", config=NmpuConfig(), corners=4),
    # The default's lane with products as rows; no cycle and no bit may differ from the default's.
    Case(name="rows_4x2", config=NmpuConfig(carry_save=True, units=4, columns=2), corners=12, quick=True),
    # The affine stage alone, at full width: what the speed is measured on.
    Case(name="affine_64x4", config=NmpuConfig(partial_sum=False, residual=False, relu=False), corners=4),
    # Nothing divides a power of two; both cuts, both shifts at their largest, unsigned codes.
    Case(
        name="odd_3x5",
        config=NmpuConfig(
            input_bits=10,
            rounding=Rounding.HALF_AWAY,
            cut_pre=3,
            cut_post=2,
            guard=3,
            max_layer_shift=24,
            max_column_shift=7,
            max_tiles=5,
            output=_uint(4),
            units=3,
            columns=5,
        ),
        corners=40,
        quick=True,
    ),
    # INT8 partial sums, as HERMES sends them, rounded to even.
    Case(
        name="int8_2x3",
        config=NmpuConfig(
            rounding=Rounding.HALF_EVEN, int8=True, max_layer_shift=5, max_column_shift=3, units=2, columns=3
        ),
        corners=48,
    ),
    # Batch norm behind the sum, at guard precision, the most guard bits, away from zero.
    Case(
        name="bn_after_4x2",
        config=NmpuConfig(
            rounding=Rounding.HALF_AWAY,
            guard=7,
            batch_norm=True,
            max_column_shift=2,
            cut_post=1,
            output=INT8,
            units=4,
            columns=2,
        ),
    ),
    # Batch norm on INT8 sums of a signed code, everything floored; a shift that is no power of two less one.
    Case(
        name="bn_int8_2x2",
        config=NmpuConfig(
            input=Input.CODE,
            input_bits=13,
            rounding=Rounding.FLOOR,
            batch_norm=True,
            int8=True,
            max_bn_shift=5,
            max_residual_shift=3,
            units=2,
            columns=2,
        ),
    ),
    # A signed code with residual, unsigned output, a deep layer shift, floored.
    Case(
        name="floor_5x2",
        config=NmpuConfig(
            input=Input.CODE,
            input_bits=8,
            rounding=Rounding.FLOOR,
            cut_pre=2,
            max_layer_shift=24,
            output=_uint(8),
            residual_input=_uint(8),
            units=5,
            columns=2,
        ),
        corners=48,
    ),
    # Every stage and every option on, small: what is traced with --waves.
    Case(
        name="every_stage_2x2",
        config=NmpuConfig(
            max_layer_shift=4,
            max_column_shift=7,
            batch_norm=True,
            cut_pre=1,
            cut_post=1,
            units=2,
            columns=2,
        ),
        words=1500,
        quick=True,
    ),
    # No ReLU and no optional stage, and batch norm without partial sums: counts of four bits.
    Case(
        name="bare_2x1",
        config=NmpuConfig(
            input_bits=4,
            partial_sum=False,
            batch_norm=True,
            max_bn_shift=0,
            residual=False,
            relu=False,
            output=INT8,
            units=2,
            columns=1,
        ),
    ),
    # Wide: 32-bit codes, an offset finer than the scale, a residual scale without integer bits, no residual shift.
    Case(
        name="wide_2x2",
        config=NmpuConfig(
            input=Input.CODE,
            input_bits=32,
            scale=UQ(2, 3),
            offset=SQ(12, 4),
            rounding=Rounding.HALF_EVEN,
            guard=4,
            residual_scale=UQ(0, 6),
            max_residual_shift=0,
            max_tiles=3,
            output=SQ(16, 0),
            units=2,
            columns=2,
        ),
    ),
)


EXTRA_CASES = (
    # Every stage, at full width, without cuts and shifts: what the speed of the slow end is measured on.
    Case(name="all_stages_64x4", config=NmpuConfig(batch_norm=True), corners=2),
    # Every stage and every option.
    Case(
        name="every_option_64x4",
        config=NmpuConfig(max_layer_shift=4, max_column_shift=7, batch_norm=True, cut_pre=1, cut_post=1),
        corners=2,
    ),
    # Every stage and option on, narrow, so that proofs of equivalence end; every code of every field is allowed.
    Case(
        name="faulty_every_2x2",
        config=NmpuConfig(
            input_bits=6,
            scale=UQ(1, 4),
            offset=SQ(4, 1),
            max_layer_shift=3,
            max_column_shift=1,
            batch_norm=True,
            bn_scale=UQ(1, 3),
            bn_offset=SQ(4, 1),
            max_bn_shift=3,
            cut_pre=1,
            cut_post=1,
            residual_input=SQ(5, 0),
            residual_scale=UQ(1, 3),
            max_residual_shift=3,
            max_tiles=2,
            output=Format(True, 5, 0, symmetric=True),
            units=2,
            columns=2,
        ),
        words=600,
        corners=32,
    ),
    # The paper's formats, two counts, four columns a lane, partial sums; one adder gathers everything.
    Case(
        name="faulty_dual_1x4",
        config=NmpuConfig(residual=False, units=1, columns=4),
        words=600,
        corners=24,
    ),
)
"""Configurations that are not part of the regression: for the speed measurement, and for faults."""

TRACED = "every_stage_2x2"
"""What --waves shows where nothing failed."""

MEASURED = ("affine_64x4", "default_64x4", "all_stages_64x4", "every_option_64x4")
"""The affine stage alone, the default, every stage, and every stage with cuts and run-time shifts."""

PLANTED = "faulty_every_2x2"
"""The configuration that gets the faults with names."""

TARGETS = (
    Target(case="faulty_every_2x2", quotas={Part.DATAPATH: 66, Part.STORE: 32, Part.CONTROL: 26, Part.FLAGS: 16}),
    Target(case="faulty_dual_1x4", quotas={Part.DATAPATH: 28, Part.STORE: 16, Part.CONTROL: 16, Part.FLAGS: 8}),
)
"""208 faults: every stage, and the paper's formats."""
