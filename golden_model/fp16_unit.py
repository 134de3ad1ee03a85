"""The FP16 unit that the NMPU replaces: the local digital processing unit of HERMES, in a stated operation order.

    u = fma(f16(cnt_p), s_p, o or sum)     v = fma(f16(cnt_n), -s_n, u)
    w = relu1(fma(v, g, b))                x = relu2(fma(f16(in), r, w))        y = saturate(int(x))

Blocks: JSSC 2022 and arXiv 2212.02872 (convert-and-scale, per-channel affine, two ReLU positions, one receive add).
Order, NaN and saturation rules: ours. It is the baseline of accuracy and of area, so it is built as carefully.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from golden_model import float16
from golden_model.errors import UserError
from golden_model.fixed import INT8, SYM8, Format, Range
from golden_model.float16 import Arithmetic
from golden_model.nmpu import Output
from golden_model.nmpu_config import Input

_NUMPY = cast(Arithmetic, float16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp16Config:
    """What is fixed when the unit is built."""

    input: Input = Input.COUNTS
    """Two counts or one signed code a column."""
    input_bits: int = 12
    """Width of a count (unsigned) or of the code (two's complement, at least 2), 1 to 16 bits."""
    residual_input: Format = INT8
    """Format of the receive operand."""
    int8: bool = False
    """Whether partial sums travel as INT8 through the receive path (HERMES) instead of as binary16."""
    output: Format = SYM8
    """Format of the output code, that of the NMPU it is compared with."""
    columns: int = 256
    """Columns whose parameters the unit stores; one data point a clock."""
    multiply_add_cycles: int = 4
    """Pipeline registers of each multiply-add in hardware, 1 to 6; no value depends on it."""

    def __post_init__(self) -> None:
        if not 1 <= self.multiply_add_cycles <= 6:
            raise UserError(f"multiply_add_cycles = {self.multiply_add_cycles}: allowed are 1 to 6")
        if self.columns < 1:
            raise UserError(f"columns = {self.columns}: a unit has at least 1")
        least = 2 if self.input is Input.CODE else 1
        if not least <= self.input_bits <= 16:
            raise UserError(f"input_bits = {self.input_bits}: allowed are {least} to 16 (binary16 ends at 65,504)")
        for name in ("residual_input", "output"):
            if getattr(self, name).fraction:
                raise UserError(
                    f"{name} = {getattr(self, name)}: a code has no fraction bits, for example SYM8 or INT8"
                )
        if self.residual_input.bits > 16:
            raise UserError(f"residual_input = {self.residual_input}: at most 16 bits (binary16 ends at 65,504)")

    @property
    def units(self) -> int:
        """Return the lanes, 1: it takes one data point a clock."""
        return 1

    @property
    def input_range(self) -> Range:
        """Return what a count or a signed code can be."""
        if self.input is Input.CODE:
            return Range(-(1 << (self.input_bits - 1)), (1 << (self.input_bits - 1)) - 1)
        return Range(0, (1 << self.input_bits) - 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fp16Columns:
    """Run-time parameters, binary16 arrays (or `sim.float16`'s float32 carriers), one entry a column, signed."""

    scale_p: Any
    """Scale of the positive count, or of the signed code."""
    scale_n: Any
    """Scale of the negative count; its sign bit is flipped before use."""
    offset: Any
    """What the first tile adds."""
    gamma: Any
    """Scale behind the sum over tiles."""
    beta: Any
    """Offset behind the sum over tiles."""
    receive: Any
    """Scale of the receive operand."""


def convert_and_scale(
    config: Fp16Config, columns: Fp16Columns, first: Any, second: Any, addend: Any, arithmetic: Arithmetic = _NUMPY
) -> Any:
    """Correct one tile's read-out: v, binary16. `addend`: the offset, or the sum of the tile before."""
    u = arithmetic.fused_multiply_add(arithmetic.from_int(first), columns.scale_p, addend)
    if config.input is Input.CODE:
        return u
    return arithmetic.fused_multiply_add(arithmetic.from_int(second), arithmetic.negate(columns.scale_n), u)


def fp16_unit(
    config: Fp16Config,
    columns: Fp16Columns,
    first: Any,
    second: Any = None,
    *,
    received: Any = None,
    residual: Any = None,
    relu_before: bool = False,
    relu_after: bool = False,
    last: bool = True,
    logits: bool = False,
    arithmetic: Arithmetic = _NUMPY,
) -> Output:
    """Process one tile's read-out: codes from the last tile of a column, partial sums from the others.

    `received`: the partial sum of the tile before (binary16; INT8 codes with `int8`), None for the first tile.
    `residual`: integer codes for the receive operand, None bypasses the fourth FMA (0 * Inf is NaN). `relu_before`,
    `relu_after`: the ReLUs before and behind the receive add. `logits`: return x as binary16 instead of codes.

    With `int8` every tile applies g and its own b, adds the INT8 sum of the tile before and saturates to INT8; a
    residual then takes one more FMA on the last tile, since the receive operand is the partial sum (ours).
    """
    fma = arithmetic.fused_multiply_add
    if config.int8:
        scaled = convert_and_scale(config, columns, first, second, columns.offset, arithmetic)
        x = fma(scaled, columns.gamma, columns.beta)
        if received is not None:
            x = arithmetic.add(x, arithmetic.from_int(received))
        if not last:
            return Output(*arithmetic.to_int(x, INT8))
    else:
        addend = columns.offset if received is None else received
        v = convert_and_scale(config, columns, first, second, addend, arithmetic)
        if not last:
            return Output(v, v != v)
        x = fma(v, columns.gamma, columns.beta)
    if relu_before:
        x = arithmetic.relu(x)
    if residual is not None:
        x = fma(arithmetic.from_int(residual), columns.receive, x)
    if relu_after:
        x = arithmetic.relu(x)
    return Output(x, x != x) if logits else Output(*arithmetic.to_int(x, config.output))
