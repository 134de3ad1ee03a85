"""One thing to prove: a part of the hardware equals its specification wherever the inputs are allowed. By SAT.

The question is put as a Verilog module around both: its inputs are the part's, its output `holds` is 1 where an input
lies outside its range, or every output equals the specification's and lies inside its own range (which is what the next
part assumes). Yosys' `sat` proves `holds`, or shows inputs for which it is 0.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from golden_model.fixed import Range
from synth.prove.chain import Part
from synth.yowasp import run

SPECIFICATION = Path(__file__).resolve().parents[1] / "spec" / "nmpu_stages.v"
"""The specification, written by hand."""
WIDE = 128
"""Width of its numbers."""


class Verdict(Enum):
    """What came of an obligation."""

    PROVED = "proved"
    """For all inputs."""
    REFUTED = "REFUTED"
    """There are inputs for which it is wrong."""
    UNDECIDED = "UNDECIDED"
    """Not answered; a failure like the one above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One obligation with its verdict."""

    name: str
    """What was to be proved."""
    verdict: Verdict
    """What came of it."""
    counterexample: Mapping[str, int] = field(default_factory=dict)
    """Inputs for which it is wrong, and what the part then gives, by port."""
    why: str = ""
    """How it was proved, or why it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """A part and the specification that it must equal."""

    name: str
    """What is to be proved: stage and what it is a part of."""
    part: Part
    """The hardware."""
    module: str
    """Module of the specification."""
    parameters: Mapping[str, int]
    """Its parameters."""
    inputs: Mapping[str, str]
    """Its inputs, as expressions of the part's ports (wide and signed), `cut_n_y` among them."""
    outputs: Mapping[str, str]
    """Its outputs: the part's output (or `cut_n_a`, `cut_n_b`) that each must equal."""
    operands: Sequence[tuple[Range, Range]] = ()
    """What the operands of each cut multiplier can be, which is proved; their products are in the product of these."""
    numbers: Mapping[str, tuple[str, Range]] = field(default_factory=dict)
    """What several ports stand for together: an expression of them, as wide as the inputs', and its range."""
    assumed: str = "1'b1"
    """What else the inputs obey, as an expression: what the parts in front make sure of."""
    specification: Path = SPECIFICATION
    """File of the module."""

    @property
    def verilog(self) -> str:
        """Return the question: module `question` with the outputs `holds` and `allowed`."""
        return "\n".join(self._lines())

    def _ports(self) -> dict[str, tuple[int, bool, bool]]:
        """Return width, signedness, and whether it is an input, of every port of the part."""
        ports = {}
        for name, of in self.part.inputs.items():
            ports[name] = (_width(of), of.lo < 0, True)
        for name, of in self.part.outputs.items():
            ports[name] = (_width(of), of.lo < 0, False)
        for number, cut in enumerate(self.part.cuts):
            ports[f"cut_{number}_a"] = (cut.a_width, cut.signed, False)
            ports[f"cut_{number}_b"] = (cut.b_width, cut.signed, False)
            ports[f"cut_{number}_y"] = (cut.y_width, cut.signed, True)
        for number in range(self.part.given):
            ports[f"given_{number}"] = (1, False, False)
        return ports

    def _lines(self) -> Iterator[str]:
        ports = self._ports()
        inputs = [name for name, (_, _, given) in ports.items() if given]
        yield "`default_nettype none"
        yield f"module question({', '.join(inputs)}, allowed, holds);"
        for name, (width, signed, given) in ports.items():
            yield f"  {'input' if given else 'wire'} [{width - 1}:0] {name};"
            wide = f"$signed({name})" if signed else f"$signed({{1'b0, {name}}})"
            yield f"  wire signed [{WIDE - 1}:0] {name}_w = {wide};"
        yield "  output allowed, holds;"
        yield f"  part dut({', '.join(f'.{name}({name})' for name in ports)});"
        for name, (text, _) in self.numbers.items():
            yield f"  wire signed [{WIDE - 1}:0] {name}_w = {text};"
        allowed, good = [self.assumed, *(f"given_{n}" for n in range(self.part.given))], []
        ranges = dict(self.part.inputs) | {
            f"cut_{n}_y": of for n, (a, b) in enumerate(self.operands) for of in (a * b,)
        }
        allowed += [inside(f"{name}_w", of) for name, of in ranges.items()]
        for port in self.outputs:
            yield f"  wire signed [{WIDE - 1}:0] spec_{port};"
        given_ = [f".{name}({text})" for name, text in self.inputs.items()]
        made = [f".{port}(spec_{port})" for port in self.outputs]
        values = ", ".join(f".{name}({value})" for name, value in self.parameters.items())
        yield f"  {self.module}{f' #({values})' if values else ''} spec({', '.join(given_ + made)});"
        for port, name in self.outputs.items():
            if name:
                good.append(f"{name}_w == spec_{port}")
            of = self.numbers[name][1] if name in self.numbers else self.part.outputs.get(name)
            if of is not None:
                good.append(inside(f"spec_{port}", of))
        for n, (a, b) in enumerate(self.operands):  # or the product would be assumed to be where it need not be
            good += [inside(f"cut_{n}_a_w", a), inside(f"cut_{n}_b_w", b)]
        yield f"  assign allowed = {' && '.join(allowed)};"
        yield f"  assign holds = !allowed || ({' && '.join(good)});"
        yield "endmodule\n"


def _width(of: Range) -> int:
    return of.signed_bits if of.lo < 0 else of.unsigned_bits


def inside(name: str, of: Range) -> str:
    """Return that a wide number lies in a range."""
    return f"{name} >= {constant(of.lo)} && {name} <= {constant(of.hi)}"


def constant(value: int) -> str:
    """Return a wide signed constant."""
    return f"{'-' if value < 0 else ''}{WIDE}'sd{abs(value)}"


def prove(obligations: Sequence[Obligation], *, seconds: int = 60) -> Iterator[Outcome]:
    """Prove obligations in one run of Yosys, `seconds` at most for each.

    A question whose inputs can never be allowed would prove anything: that some are is asked first.
    """
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        for each in obligations:
            shutil.copyfile(each.specification, folder / each.specification.name)
        lines = []
        for number, each in enumerate(obligations):
            (folder / f"part{number}.il").write_text(each.part.text)
            (folder / f"question{number}.v").write_text(each.verilog)
            lines += [
                f"design -reset; read_rtlil part{number}.il; read_verilog {each.specification.name} question{number}.v",
                "hierarchy -top question; proc; flatten; opt_expr; opt_merge; opt_clean; wreduce; opt_clean",
            ]
            lines += [
                f"log QUESTION {number}",
                "sat -set allowed 1 question",
                f"sat -timeout {seconds} -prove holds 1 -show-inputs -show-outputs -show-ports question",
            ]
        log = run("\n".join(lines) + "\nlog QUESTION\n", folder)
    told = dict(re.findall(r"^QUESTION (\d+)$(.*?)(?=^QUESTION)", log, re.MULTILINE | re.DOTALL))
    for number, each in enumerate(obligations):
        yield _outcome(each, told.get(str(number), ""))


def _outcome(obligation: Obligation, told: str) -> Outcome:
    """Return the verdict of an obligation from what Yosys said."""
    name = obligation.name
    if "SAT solving finished - model found" not in told:
        return Outcome(name=name, verdict=Verdict.UNDECIDED, why="no input is allowed: the question is empty")
    if "no model found: SUCCESS" in told:
        return Outcome(name=name, verdict=Verdict.PROVED, why="SAT, all inputs")
    if "model found: FAIL" not in told:
        return Outcome(name=name, verdict=Verdict.UNDECIDED, why="out of time")
    values = {}
    answer = told[told.index("model found: FAIL") :]
    for port, bits in re.findall(r"^\s+\\(\w+)\s+\S+\s+\S+\s+([01]+)\s*$", answer, re.MULTILINE):
        of = obligation.part.inputs.get(port)
        if of is not None or re.fullmatch(r"cut_\d+_y", port):
            negative = of is not None and of.lo < 0 and bits[0] == "1"
            values[port] = int(bits, 2) - (negative << len(bits))
    return Outcome(name=name, verdict=Verdict.REFUTED, counterexample=values, why="SAT")
