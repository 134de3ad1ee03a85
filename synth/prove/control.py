"""No word is lost, doubled or reordered, whatever the stalls; with the arithmetic abstracted, for runs of any length.

Every stage is replaced by a box whose outputs are all ones where any of its numbers is not 0. Then, by SAT:

steps    from every state, in one cycle: `i.ready` falls only where the output is valid and not ready, and then nothing
         in the unit changes; where the output is not valid, `o.ready` changes nothing; what stands at the output
         depends on the state alone; a reset leaves no word under way.
window   from every state, in as many cycles as the latency in which the pipeline moves on: the word offered in the
         first cycle, and no other, is at the output in the last, ones exactly where it or the parameters of its own
         column are; the word counter counts offered words modulo the columns; the flag of its column is up; `idle`
         tells that none is under way and the next is word 0.
trace    from a reset on, a marked word gets to the output and leaves after a stall: what is assumed can happen.

By `steps`, a run with stalls is one without in which some cycles are repeated; by `window`, every word of that comes
out once, in its place, with its own column's parameters in every stage. Assumed: no reset, and no write of parameters
or layer registers, while a word is under way. One lane stands for all, which share their control.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
import warnings
from collections.abc import Iterator
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


def coloured(config: NmpuConfig, kind: type[Nmpu] = Nmpu) -> str:
    """Return the RTLIL of one lane of a unit with its arithmetic abstracted; `kind` stands in for the unit."""
    unit = kind(dataclasses.replace(config, units=1))
    unit.schedule = _Colours(unit.schedule)  # type: ignore[assignment]  # in the place of the schedule, as far as used
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        return str(rtlil.convert(unit, name="nmpu", emit_src=False))


SPECIFICATION = Path(__file__).resolve().parents[1] / "spec" / "control.v"
"""The specification, written by hand."""


def prove_control(config: NmpuConfig, *, seconds: int = 60, text: str | None = None) -> Outcome:
    """Prove the control of a configuration. `text` stands in for the RTLIL of `coloured(config)`."""
    one = dataclasses.replace(config, units=1)
    latency = Schedule(one).latency
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        (folder / "unit.il").write_text(coloured(config) if text is None else text)
        run(
            "read_rtlil unit.il; hierarchy -top nmpu; proc; flatten; memory; opt -full; dffunmap; opt_expr; opt_clean\n"
            "expose w:word\n"
            "setattr -unset init w:*; write_rtlil flat.il; write_json flat.json\n",
            folder,
        )
        flat = (folder / "flat.il").read_text()
        ports = json.loads((folder / "flat.json").read_text())["modules"]["nmpu"]["ports"]
        widths = {name: len(port["bits"]) for name, port in ports.items()}
        cut, registers = _cut(flat)
        (folder / "cut.il").write_text(cut)
        (folder / "steps.v").write_text("\n".join(_steps(widths, registers)))
        (folder / "control.v").write_text(SPECIFICATION.read_text(encoding="utf-8"))
        defines = "-DCOUNTED " * ("word" in widths) + "-DLAYERED " * ("layer__data" in widths)
        numbers = {
            "COLUMNS": one.columns,
            "CB": widths["write__column"],
            "IW": widths["i__payload"],
            "OW": widths["o__payload"],
            "MW": widths["write__mask"],
            "DW": widths["write__data"],
            "LW": widths.get("layer__data", 1),
            # `last` is the highest of the layer registers; where it is 0, batch norm passes a sum as it is
            "LAST": 1 << (widths["layer__data"] - 1) if one.partial_sum else 0,
        }
        window = numbers | {"L": latency, "WB": widths.get("word", 1)}
        last, passes = one.columns + latency + 2, "flatten; opt -full; dffunmap; opt_expr; opt_clean"
        read = f"design -reset; read_rtlil flat.il; read_verilog {defines} control.v"
        log = run(
            f"read_rtlil cut.il; read_verilog steps.v; hierarchy -top steps; {passes}\n"
            f"log STEPS\nsat -timeout {seconds} -prove holds 1 -show-inputs steps\n"
            f"{read}; {_set(window, 'window')}; hierarchy -top window; proc; {passes}\n"
            f"log WINDOW\nsat -timeout {seconds} -seq {last} -prove holds 1 -show-inputs window\n"
            f"log REACHED\nsat -timeout {seconds} -seq {last} -set-at {last} reached 1 window\n"
            f"{read}; {_set(numbers, 'trace')}; hierarchy -top trace; proc; {passes}\n"
            f"log TRACE\nsat -timeout {seconds} -seq {latency + 6} -set-init-zero"
            f" -set-at {latency + 6} reached 1 trace\nlog END\n",
            folder,
        )
    told = dict(re.findall(r"^(STEPS|WINDOW|REACHED|TRACE)$(.*?)(?=^[A-Z]+$)", log, re.MULTILINE | re.DOTALL))
    for question in ("STEPS", "WINDOW"):
        if "model found: FAIL" in told[question]:
            return Outcome(
                name="control",
                verdict=Verdict.REFUTED,
                counterexample=_counterexample(told[question]),
                why=f"{question.lower()}, SAT",
            )
        if "no model found: SUCCESS" not in told[question]:
            return Outcome(name="control", verdict=Verdict.UNDECIDED, why=f"{question.lower()}: out of time")
    for question in ("REACHED", "TRACE"):
        if "SAT solving finished - model found" not in told[question]:
            return Outcome(
                name="control", verdict=Verdict.UNDECIDED, why="no word gets to the output: nothing is asked"
            )
    return Outcome(name="control", verdict=Verdict.PROVED, why="SAT, every state, all stalls; covered")


def _set(numbers: dict[str, int], module: str) -> str:
    """Return the command that sets the parameters of a module."""
    return "chparam " + " ".join(f"-set {name} {value}" for name, value in numbers.items()) + f" {module}"


def _counterexample(told: str) -> dict[str, int]:
    """Return the inputs that Yosys shows, of a run as `name@cycle`; what is 0 is left out."""
    found = re.findall(r"^ +(\d+ )? *\\(\w+) +(\d+) ", told[told.index("model found: FAIL") :], re.MULTILINE)
    return {f"{name}@{step.strip()}" if step else name: int(value) for step, name, value in found if int(value)}


_FLOP = re.compile(r"^  cell \$dff (\S+)\n((?:    (?:parameter|attribute|connect) .*\n)*)  end\n", re.MULTILINE)


def _cut(flat: str) -> tuple[str, dict[str, int]]:
    """Return the RTLIL with every flip-flop replaced by an input (what it holds) and an output (what it takes).

    The ports are `NAME_holds` and `NAME_takes`; the second value is the width by name.
    """
    registers: dict[str, int] = {}
    free = 100000  # behind the numbers of the ports that are there

    def ends(flop: re.Match[str]) -> str:
        told = dict(re.findall(r"(?:parameter|connect) \\(\w+) (.+)", flop.group(2)))
        name = re.sub(r"\W+", "_", told["Q"]).strip("_")
        while name in registers:
            name += "_"
        width = registers[name] = int(told["WIDTH"], 0)
        position = free + 2 * len(registers)
        return (
            f"  wire width {width} input {position} \\{name}_holds\n"
            f"  wire width {width} output {position + 1} \\{name}_takes\n"
            f"  connect {told['Q']} \\{name}_holds\n  connect \\{name}_takes {told['D']}\n"
        )

    return _FLOP.sub(ends, flat), registers


def _steps(widths: dict[str, int], registers: dict[str, int]) -> Iterator[str]:
    """Return the lines of the question on one cycle: module `steps`, output `holds`.

    Four copies of the unit: `now`; `ready`, the same but for o.ready = 1; `still`, the same state with all inputs 0;
    `next`, in the state behind `now`.
    """
    given = [n for n in widths if n not in ("clk", "i__ready", "o__valid", "o__payload", "flags", "idle", "word")]
    yield f"module steps({', '.join(given + [f'{name}_holds' for name in registers])}, holds);"
    yield "  output holds;"
    for name in given:
        yield f"  input [{widths[name] - 1}:0] {name};"
    for name, width in registers.items():
        yield f"  input [{width - 1}:0] {name}_holds;"
    for copy in ("now", "ready", "still", "next"):
        yield f"  wire {copy}_i_ready, {copy}_valid, {copy}_idle; wire [{widths['o__payload'] - 1}:0] {copy}_out;"
        ports = [f".i__ready({copy}_i_ready), .o__valid({copy}_valid), .o__payload({copy}_out), .idle({copy}_idle)"]
        for name in given:
            value = name if copy in ("now", "ready") else f"{widths[name]}'d0"
            ports.append(f".{name}({'1' + chr(39) + 'b1' if (copy, name) == ('ready', 'o__ready') else value})")
        for name, width in registers.items():
            yield f"  wire [{width - 1}:0] {copy}_{name};"
            ports.append(f".{name}_holds({'now_' + name if copy == 'next' else name + '_holds'})")
            ports.append(f".{name}_takes({copy}_{name})")
        yield f"  nmpu unit_{copy}({', '.join(ports)});"
    same = " && ".join(f"now_{name} == {name}_holds" for name in registers)
    alike = " && ".join(f"now_{name} == ready_{name}" for name in registers)
    yield "  wire stalled = now_valid && !o__ready, quiet = !rst && !write__en && !layer__en;"
    yield f"  wire kept = {same};"
    yield f"  wire alike = {alike};"
    yield "  assign holds = now_i_ready == !stalled && (!stalled || !quiet || kept) && (now_valid || alike)"
    yield "    && now_valid == still_valid && now_out == still_out && now_idle == still_idle"
    yield "    && (!rst || (next_idle && !next_valid));"
    yield "endmodule"
