"""The multipliers that the proofs of the stages cut out, each over all pairs of operands, against shift and add.

The specification adds shifted copies of the one operand for the bits of the other: it shares no multiplier with the
hardware. A compiled model of the multiplier's Verilog runs through all pairs; where the second operand has few values,
SAT takes them one by one instead, for all values of the first.

A multiplier that leaves two rows gives what they add up to, with every addend.
"""

from __future__ import annotations

import ctypes
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import verilog
from amaranth.hdl import Module, Shape, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from hdl.carry_save import Addend, multiply_add
from hdl.fixed import Number, shape
from synth.prove.chain import Cut, Rows
from synth.prove.gates import compiled
from synth.prove.obligation import Outcome, Verdict
from synth.yowasp import run

DRIVER = Path(__file__).resolve().parents[1] / "compiled" / "multiplier.cc"
"""Tries the pairs."""
MOST_PAIRS = 1 << 35
"""More pairs than these are not tried one by one."""
MOST_SCALES = 32
"""More values of the second operand than these are not given to SAT one by one: for 256 it takes many minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplier:
    """One multiplier of the hardware and what its operands can be."""

    cut: Cut
    """Its widths and sign, as the stage has it."""
    a: Range
    """What the first operand can be."""
    b: Range
    """What the second can be: a scale, never negative."""
    rows: Rows | None = None
    """Where it leaves two rows: what it adds."""

    @property
    def pairs(self) -> int:
        """Return the number of pairs of operands."""
        addends = 1 if self.rows is None or self.rows.c is None else self.rows.c.hi - self.rows.c.lo + 1
        return (self.a.hi - self.a.lo + 1) * (self.b.hi - self.b.lo + 1) * addends

    def __str__(self) -> str:
        sign = "signed" if self.a.lo < 0 else "unsigned"
        bits = self.a.signed_bits if self.a.lo < 0 else self.a.unsigned_bits
        kind = "" if self.rows is None else ", two rows" if self.rows.c is None else ", two rows with an addend"
        return f"multiplier {bits} bits {sign} x {self.b.unsigned_bits}{kind}"

    @property
    def verilog(self) -> str:
        """Return the multiplier as the hardware has it: module `product`."""
        if self.rows is not None:
            rows = TwoRows(self.rows)
            ports = {name: Shape.cast(member.shape).width for name, member in rows.signature.members.items()}
            told = ", ".join(
                f"{'output' if name == 'y' else 'input'} [{size - 1}:0] {name}" for name, size in ports.items()
            )
            made = f"rows made({', '.join(f'.{name}({name})' for name in ports)});"  # keeps the order of the ports
            text = verilog.convert(rows, name="rows", emit_src=False)
            return f"{text}\nmodule product({told});\n  {made}\nendmodule\n"
        sign = "signed " if self.cut.signed else ""
        a, b, y = (width - 1 for width in (self.cut.a_width, self.cut.b_width, self.cut.y_width))
        return (
            f"module product(input {sign}[{a}:0] a, input {sign}[{b}:0] b, output {sign}[{y}:0] y);\n"
            "  assign y = a * b;\nendmodule\n"
        )


class TwoRows(wiring.Component):  # type: ignore[misc]  # Amaranth ships no types: its Component is Any
    """What the two rows of a multiplier add up to, as a component.

    Members: `a`, `b`, with an addend `c` (in), `y` (out): where a has no sign, with the bit that must not be needed.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        ports = {"a": In(shape(rows.a)), "b": In(shape(rows.b))} | ({} if rows.c is None else {"c": In(shape(rows.c))})
        super().__init__(ports | {"y": Out(shape(rows.a * rows.b) if rows.a.lo < 0 else unsigned(rows.width + 1))})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m, told = Module(), self.rows
        addend = None if told.c is None else Addend(Number(self.c, told.c), told.place, told.constant)
        a, b = Number(self.a, told.a), Number(self.b, told.b)
        first, second = multiply_add(m, a, b, addend, told.width, "rows")
        m.d.comb += self.y.eq(first.bits(0, told.width) + second.bits(0, told.width))
        return m


def prove_multiplier(multiplier: Multiplier, text: str | None = None) -> Outcome:
    """Prove or refute one multiplier; UNDECIDED where it has too many pairs. `text` stands in for the hardware's.

    Raises UserError where no C++ compiler is installed.
    """
    text = multiplier.verilog if text is None else text
    if multiplier.b.hi < MOST_SCALES and multiplier.rows is None:
        return _by_scale(multiplier, text)
    if multiplier.pairs <= MOST_PAIRS:
        return _by_pair(multiplier, text)
    why = f"2^{(multiplier.pairs - 1).bit_length()} pairs are too many"
    return Outcome(name=str(multiplier), verdict=Verdict.UNDECIDED, why=why)


def _by_pair(multiplier: Multiplier, text: str) -> Outcome:
    """Try every pair on the multiplier's gates."""
    cut, a, b = multiplier.cut, multiplier.a, multiplier.b
    constants = {"A_BITS": cut.a_width, "B_BITS": cut.b_width, "Y_BITS": cut.y_width, "SIGNED": int(cut.signed)}
    constants["C_BITS"], added = 0, (0, 0, 0, 0)
    if (rows := multiplier.rows) is not None:
        constants |= {"B_BITS": shape(b).width, "Y_BITS": shape(a * b).width if cut.signed else rows.width + 1}
        if rows.c is not None:
            constants["C_BITS"], added = shape(rows.c).width, (rows.c.lo, rows.c.hi, rows.place, rows.constant)
    check = compiled(text, "product", DRIVER, constants).multiplier_check
    check.argtypes = [*[ctypes.c_int64] * 8, ctypes.POINTER(ctypes.c_int64)]
    wrong = (ctypes.c_int64 * 3)()
    name = str(multiplier)
    if check(a.lo, a.hi, b.lo, b.hi, *added, wrong):
        found = dict(zip("aby", map(int, wrong), strict=True))
        return Outcome(name=name, verdict=Verdict.REFUTED, counterexample=found, why="gates, pair by pair")
    return Outcome(name=name, verdict=Verdict.PROVED, why=f"gates, all {multiplier.pairs:,} pairs")


def _by_scale(multiplier: Multiplier, text: str) -> Outcome:
    """Prove y = a * b by SAT for every value of b, all values of a together."""
    cut, name = multiplier.cut, str(multiplier)
    sign = "$signed(a)" if cut.signed else "$signed({1'b0, a})"
    wide = "$signed(y)" if cut.signed else "$signed({1'b0, y})"
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        script = []
        for b in range(multiplier.b.lo, multiplier.b.hi + 1):
            shifted = " + ".join(f"(wide <<< {bit})" for bit in range(b.bit_length()) if b >> bit & 1) or "0"
            (folder / f"scale{b}.v").write_text(
                f"{text}module question(input [{cut.a_width - 1}:0] a, output holds);\n"
                f"  wire signed [63:0] wide = {sign};\n  wire [{cut.y_width - 1}:0] y;\n"
                f"  product dut(.a(a), .b({cut.b_width}'d{b}), .y(y));\n"
                f"  wire signed [63:0] made = {wide}, sum = {shifted};\n  assign holds = made == sum;\nendmodule\n"
            )
            script += [
                f"design -reset; read_verilog scale{b}.v; hierarchy -top question; proc; flatten; opt -full; wreduce",
                f"log SCALE {b}",
                "sat -timeout 60 -prove holds 1 -show-inputs question",
            ]
        log = run("\n".join(script) + "\nlog SCALE\n", folder)
    told = log.split("\nSCALE ")[1:]
    for b, answer in enumerate(told, multiplier.b.lo):
        if "model found: FAIL" in answer:
            return Outcome(name=name, verdict=Verdict.REFUTED, counterexample={"b": b}, why="SAT, scale by scale")
    if len(told) == multiplier.b.hi - multiplier.b.lo + 1 and all("SUCCESS" in answer for answer in told):
        return Outcome(name=name, verdict=Verdict.PROVED, why=f"SAT, all values, {len(told)} scales")
    return Outcome(name=name, verdict=Verdict.UNDECIDED, why="out of time")
