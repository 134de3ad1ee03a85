"""Which faults change nothing: each is compared with the sound unit, for all inputs, by SAT.

The flip-flops are cut: their outputs become free inputs and their inputs outputs, so that what is compared is the
combinational function from everything the unit knows to everything it does next. Equal there means equal for ever. Not
equal there means little: the difference may need a state that the unit never reaches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from synth.mutation import SELECT, Fault, Netlist, plain_name
from synth.yowasp import run


class Verdict(Enum):
    """What the comparison of one fault with the sound unit says."""

    EQUAL = "equal"
    """Proved: no input and no state shows the fault."""
    RESET = "equal but for what a reset leaves in word numbers"
    """Proved: without a reset nothing differs, and with one only registers that number words behind the first step. The
    reset clears those words' valid bits, and without its valid bit a number is never used; that last step is argued."""
    DIFFERENT = "different"
    """Some input in some state shows it; whether that state is ever reached is open."""
    OPEN = "open"
    """Not decided in the time given."""


def compare(faults: Sequence[Fault], folder: Path, *, top: str = "nmpu", seconds: int = 20) -> dict[int, Verdict]:
    """Compare faults with the sound unit on the netlist that `synth.mutation.draw` left in `folder`.

    What a fault does not reach is shared by both sides before the proof, so multipliers in front of it cost nothing.
    """
    sound = Netlist.read(folder / "unit.json", top)
    faulty = (folder / "faulty.il").read_text()
    every, deciding = _cut(faulty, sound, frozenset()), _cut(faulty, sound, sound.followers())
    verdicts = _prove(faults, folder, every, "", top, seconds)
    left = [fault for fault in faults if verdicts.get(fault.number) is Verdict.DIFFERENT]
    if left:
        running = _prove(left, folder, every, "-set in_rst 0", top, seconds)
        beyond = _prove(left, folder, deciding, "", top, seconds)
        for number, verdict in running.items():
            if verdict is beyond[number] is Verdict.EQUAL:
                verdicts[number] = Verdict.RESET
    return verdicts


def _prove(
    faults: Sequence[Fault], folder: Path, netlist: str, assumed: str, top: str, seconds: int
) -> dict[int, Verdict]:
    """Prove one fault after the other equal on a netlist whose flip-flops are cut, under assumptions on the inputs."""
    width = _width(netlist)
    (folder / "cut.il").write_text(netlist)
    lines = [
        f"read_rtlil cut.il; hierarchy -top {top}; delete -input {top}/w:{SELECT}",
        f"rename {top} gate; copy gate gold",
        f"cd gold; connect -set {SELECT} {width}'d0; opt_expr; opt_clean; cd ..; design -save cut",
    ]
    for fault in faults:
        lines += [
            "design -load cut",
            f"cd gate; connect -set {SELECT} {width}'d{fault.number}; opt_expr; opt_clean; cd ..",
            "miter -equiv -flatten -make_outputs gold gate pair; hierarchy -top pair",
            "opt_expr; opt_merge; opt_expr; opt_merge; opt_clean",
            f"log FAULT {fault.number}",
            f"sat -timeout {seconds} {assumed} -prove trigger 0 pair",
        ]
    log = run("\n".join(lines) + "\n", folder)
    verdicts = {}
    for number, told in re.findall(r"^FAULT (\d+)$(.*?)(?=^FAULT|\Z)", log, re.MULTILINE | re.DOTALL):
        equal, different = "no model found: SUCCESS" in told, "model found: FAIL" in told
        verdicts[int(number)] = Verdict.EQUAL if equal else Verdict.DIFFERENT if different else Verdict.OPEN
    return verdicts


_FLOP = re.compile(
    r"^  cell \$dff (\S+)\n((?:    parameter .*\n|    attribute .*\n|    connect .*\n)*)  end\n", re.MULTILINE
)


def _cut(netlist: str, sound: Netlist, ignored: frozenset[str]) -> str:
    """Return the RTLIL of a flat netlist with every flip-flop replaced by an input (its output) and an output.

    What `ignored` flip-flops hold next is not compared, nor are bits of a register that decide nothing in the sound
    unit: if the faulty unit's outputs and live bits are the same function of the state as the sound unit's, dead bits
    decide nothing there either.
    """
    live = sound.live()
    count = 0

    def ports(flop: re.Match[str]) -> str:
        nonlocal count
        count += 1
        told = dict(re.findall(r"(?:parameter|connect) \\(\w+) (.+)", flop.group(2)))
        name = plain_name(flop.group(1))
        held = sound.cells[name]["connections"]["Q"]
        kept = [index for index, bit in enumerate(held) if bit in live and name not in ignored]
        text = (
            f"  wire width {told['WIDTH']} input {90000 + 2 * count} \\state_{count}\n"
            f"  connect {told['Q']} \\state_{count}\n"
        )
        if kept:
            bits = " ".join(f"{told['D']} [{index}]" for index in reversed(kept))
            text += f"  wire width {len(kept)} output {90001 + 2 * count} \\next_{count}\n"
            text += f"  connect \\next_{count} {{ {bits} }}\n"
        return text

    return _FLOP.sub(ports, netlist)


def _width(netlist: str) -> int:
    """Return the width of the input that chooses a fault."""
    found = re.search(rf"wire width (\d+) input \d+ \\{SELECT}\b", netlist)
    return int(found.group(1)) if found else 1
