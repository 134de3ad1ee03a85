"""The multipliers that the proofs of the stages cut out, each over all pairs of operands, against shift and add.

The specification adds shifted copies of the one operand for the bits of the other: it shares no multiplier with the
hardware. Icarus Verilog runs through all pairs where there are few enough.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from golden_model.errors import UserError
from golden_model.fixed import Range
from synth.prove.chain import Cut
from synth.prove.obligation import Outcome, Verdict

MOST_PAIRS = 1 << 21
"""More pairs than these are not tried here: 12 s in Icarus Verilog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiplier:
    """One multiplier of the hardware and what its operands can be."""

    cut: Cut
    """Its widths and sign, as the stage has it."""
    a: Range
    """What the first operand can be."""
    b: Range
    """What the second can be: a scale, never negative."""

    @property
    def pairs(self) -> int:
        """Return the number of pairs of operands."""
        return (self.a.hi - self.a.lo + 1) * (self.b.hi - self.b.lo + 1)

    def __str__(self) -> str:
        sign = "signed" if self.a.lo < 0 else "unsigned"
        bits = self.a.signed_bits if self.a.lo < 0 else self.a.unsigned_bits
        return f"multiplier {bits} bits {sign} x {self.b.unsigned_bits}"

    @property
    def verilog(self) -> str:
        """Return the multiplier as the hardware has it: module `product`."""
        sign = "signed " if self.cut.signed else ""
        a, b, y = (width - 1 for width in (self.cut.a_width, self.cut.b_width, self.cut.y_width))
        return (
            f"module product(input {sign}[{a}:0] a, input {sign}[{b}:0] b, output {sign}[{y}:0] y);\n"
            f"  assign y = a * b;\nendmodule\n"
        )


_BENCH = """module bench;
  reg signed [63:0] a, b, sum;
  integer bit_;
  wire {sign}[{yw}:0] y;
  wire signed [63:0] wide = {wide};
  product dut(.a(a[{aw}:0]), .b(b[{bw}:0]), .y(y));
  initial begin
    for (a = {alo}; a <= {ahi}; a = a + 1)
      for (b = {blo}; b <= {bhi}; b = b + 1) begin
        sum = 0;
        for (bit_ = 0; bit_ < {bits}; bit_ = bit_ + 1) if (b[bit_]) sum = sum + (a <<< bit_);
        #1 if (wide !== sum) begin $display("WRONG %0d %0d %0d", a, b, wide); $finish; end
      end
    $display("RIGHT");
  end
endmodule
"""


def prove_multiplier(multiplier: Multiplier, text: str | None = None) -> Outcome:
    """Try all pairs of operands; UNDECIDED where they are too many. `text` stands in for the hardware's multiplier.

    Raises UserError where Icarus Verilog is missing.
    """
    name = str(multiplier)
    if multiplier.pairs > MOST_PAIRS:
        # The place of the compiled model: 2**29 pairs take it seconds.
        why = f"2^{(multiplier.pairs - 1).bit_length()} pairs wait for the compiled model"
        return Outcome(name=name, verdict=Verdict.UNDECIDED, why=why)
    if shutil.which("iverilog") is None:
        raise UserError("Icarus Verilog is not installed: the proof of the multipliers needs iverilog on the PATH")
    cut = multiplier.cut
    bench = _BENCH.format(
        sign="signed " if cut.signed else "",
        yw=cut.y_width - 1,
        wide="y" if cut.signed else "$signed({1'b0, y})",
        aw=cut.a_width - 1,
        bw=cut.b_width - 1,
        alo=multiplier.a.lo,
        ahi=multiplier.a.hi,
        blo=multiplier.b.lo,
        bhi=multiplier.b.hi,
        bits=multiplier.b.unsigned_bits,
    )
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        (folder / "bench.v").write_text((multiplier.verilog if text is None else text) + bench)
        for command in (
            ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v"],
            ["vvp", "-n", "bench.vvp"],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{command[0]} failed: {done.stderr}")
    if "RIGHT" in done.stdout:
        return Outcome(name=name, verdict=Verdict.PROVED, why=f"all {multiplier.pairs} pairs")
    wrong = done.stdout.split("WRONG", 1)[-1].split()
    found = {"a": int(wrong[0]), "b": int(wrong[1]), "y": int(wrong[2])} if len(wrong) > 2 else {}
    return Outcome(name=name, verdict=Verdict.REFUTED, counterexample=found, why="Icarus Verilog")
