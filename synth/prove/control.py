"""No word is lost, doubled or reordered, whatever the stalls: bounded, by SAT, with the arithmetic abstracted.

Every stage is replaced by a box whose outputs are all ones where any of its numbers is not 0, so that a word arrives
not 0 exactly where it, or a parameter that it met on its way, was not 0. One word, whose number the solver chooses, is
not 0, all others are; one column that it chooses has parameters that are not 0, all others 0. A checker counts words
and expects the marked one at its number, every word with its own column's parameters in every stage, held while it
waits, and `idle` only where nothing is under way. Since the control sees no data, what holds of any marked word holds
of all. One lane stands for all, which share their control.

From the first cycle on, up to a depth of cycles; assumed are a reset in the first cycle and none later, then one write
of the layer registers and one of a column, and none later. A trace that ends with a word leaving after it had to wait
shows that under these assumptions words do get through.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Mux, Shape, UnusedElaboratable

from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu import Nmpu, Schedule
from hdl.nmpu.stage import Stage
from synth.prove.netlist import Boxes
from synth.prove.obligation import Outcome, Verdict
from synth.yowasp import run

_STATIC = frozenset({"rounded", "relu_before", "relu_after", "add", "layer_shift"})
"""Inputs that are the same for all words: no part of what a word carries."""


class _Colours(Boxes):
    """A schedule whose stages only tell whether anything that reaches them is not 0."""

    def fill(self, m: Module, stage: Stage, lane: str, values: dict[str, Any]) -> dict[str, Any]:
        carried = [values[name] for name in stage.inputs if name not in _STATIC]
        found = Cat(carried).any()
        made = {}
        for name, of in stage.outputs.items():
            width = of.signed_bits if of.lo < 0 else of.unsigned_bits
            colour = Mux(found, (1 << width) - 1, 0)[:width]
            made[name] = colour.as_signed() if of.lo < 0 else colour
            assert Shape.cast(made[name].shape()).width == width
        return made


def coloured(config: NmpuConfig) -> str:
    """Return the RTLIL of one lane of a unit with its arithmetic abstracted."""
    unit = Nmpu(dataclasses.replace(config, units=1))
    unit.schedule = _Colours(unit.schedule)  # type: ignore[assignment]  # in the place of the schedule, as far as used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        return str(rtlil.convert(unit, name="nmpu", emit_src=False))


_CHECKER = """module checker(
  input clk, valid, ready, input [{b}:0] number, input [{cb}:0] column, output holds, waited
);
  reg [1:0] phase = 0;
  reg [{cb}:0] chosen = 0, at = 0, left = 0;
  reg [{b}:0] sent = 0, got = 0, marked = 0;
  reg stalled = 0, ever = 0, held = 0;
  wire i_ready, o_valid, idle;
  wire [{ow}:0] out;
  wire running = phase == 3;
  wire colour = sent == marked, expected = got == marked || chosen == left + 1;
  wire write = phase == 2 && column < {columns};
  nmpu unit(
    .clk(clk), .rst(phase == 0), .i__valid(running && valid), .i__payload({{{iw}{{colour}}}}), .i__ready(i_ready),
    .o__valid(o_valid), .o__ready(ready), .o__payload(out), .write__en(write), .write__column(column),
    .write__mask({{{mw}{{1'b1}}}}), .write__data({{{dw}{{1'b1}}}}), .layer__en(phase == 1){layer}, .idle(idle));
  wire accept = running && valid && i_ready, leave = o_valid && ready;
  assign holds = !running || (
       (!leave || (got < sent && (out != 0) == expected))
    && (!stalled || (o_valid && (out != 0) == held))
    && (i_ready == (!o_valid || ready))
    && (!idle || (got == sent && at == 0))
    && (sent - got <= {latency}));
  assign waited = running && leave && ever && out != 0;
  always @(posedge clk) begin
    phase <= running ? phase : phase + 1;
    if (phase == 1) marked <= number;
    if (write) chosen <= column + 1;
    if (accept) begin
      sent <= sent + 1;
      at <= at == {columns} - 1 ? 0 : at + 1;
    end
    if (leave) begin
      got <= got + 1;
      left <= left == {columns} - 1 ? 0 : left + 1;
    end
    stalled <= o_valid && !ready;
    held <= out != 0;
    ever <= ever || (o_valid && !ready);
  end
endmodule
"""


def prove_control(config: NmpuConfig, *, seconds: int = 60, text: str | None = None) -> Outcome:
    """Prove the control of a configuration up to a depth in which a whole vector and three words more can pass.

    `text` stands in for the RTLIL of `coloured(config)`.
    """
    one = dataclasses.replace(config, units=1)
    latency = Schedule(one).latency
    depth = 3 + latency + one.columns + 3  # start, a vector all the way through, three stalls or words more
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        (folder / "unit.il").write_text(coloured(config) if text is None else text)
        widths = _widths((folder / "unit.il").read_text())
        registers = widths.get("layer__data", 0)
        # `last` is the highest of the layer registers, where there is one; the others are 0
        layer = 1 << (registers - 1) if one.partial_sum else 0
        (folder / "checker.v").write_text(
            _CHECKER.format(
                cb=one.columns.bit_length(),
                b=depth.bit_length() - 1,
                iw=widths["i__payload"],
                ow=widths["o__payload"] - 1,
                mw=widths["write__mask"],
                dw=widths["write__data"],
                layer=f", .layer__data({registers}'d{layer})" if registers else "",
                columns=one.columns,
                latency=latency,
            )
        )
        steps = f"-seq 1 -set-init-zero -maxsteps {depth} -timeout {seconds}"
        log = run(
            "read_rtlil unit.il; read_verilog checker.v; hierarchy -top checker; proc; flatten; memory; opt -full\n"
            "dffunmap; opt -full; opt_clean\n"
            "log PROOF\n"
            f"sat -tempinduct -tempinduct-baseonly {steps} -prove holds 1 -show-ports checker\n"
            "log COVER\n"
            f"sat -seq {depth} -set-init-zero -timeout {seconds} -set-at {depth} waited 1 -show-ports checker\n",
            folder,
        )
    proof, cover = log[log.index("\nPROOF") : log.index("\nCOVER")], log[log.index("\nCOVER") :]
    name = "control"
    if "SAT proof finished" in proof and "FAIL" in proof:
        steps_ = re.findall(r"^\s+(\d+)\s+\\(valid|number|ready|column)\s+(\d+)", proof, re.MULTILINE)
        trace = {f"{port}@{step}": int(value) for step, port, value in steps_}
        return Outcome(name=name, verdict=Verdict.REFUTED, counterexample=trace, why="bounded, SAT")
    if "Reached maximum number of time steps -> proved base case" not in proof:
        return Outcome(name=name, verdict=Verdict.UNDECIDED, why="out of time")
    if "model found" not in cover or "no model found" in cover:
        return Outcome(name=name, verdict=Verdict.UNDECIDED, why="no word reaches the output after a stall")
    return Outcome(name=name, verdict=Verdict.PROVED, why=f"bounded: {depth} cycles, all stalls; covered")


def _widths(text: str) -> dict[str, int]:
    """Return the widths of the top module's ports."""
    module = text[text.index("module \\nmpu\n") :]
    found = re.findall(r"^  wire width (\d+) (?:input|output) \d+ .*?\\(\w+)$", module, re.MULTILINE)
    return {name: int(width) for width, name in found}
