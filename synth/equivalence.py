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
    DIFFERENT = "different"
    """Some input in some state shows it; whether that state is ever reached is open."""
    OPEN = "open"
    """Not decided in the time given."""


def compare(faults: Sequence[Fault], folder: Path, *, top: str = "nmpu", seconds: int = 20) -> dict[int, Verdict]:
    """Compare faults with the sound unit on the netlist that `synth.mutation.draw` left in `folder`.

    What a fault does not reach is shared by both sides before the proof, so multipliers in front of it cost nothing.
    """
    width = _width(folder)
    sound = Netlist.read(folder / "unit.json", top)
    (folder / "cut.il").write_text(_cut((folder / "faulty.il").read_text(), sound))
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
            f"sat -timeout {seconds} -prove trigger 0 pair",
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


def _cut(netlist: str, sound: Netlist) -> str:
    """Return the RTLIL of a flat netlist with every flip-flop replaced by an input (its output) and an output.

    Bits of a register that decide nothing in the sound unit are not compared: if the faulty unit's outputs and live
    bits are the same function of the state as the sound unit's, dead bits decide nothing there either.
    """
    live = sound.live()
    count = 0

    def ports(flop: re.Match[str]) -> str:
        nonlocal count
        count += 1
        told = dict(re.findall(r"(?:parameter|connect) \\(\w+) (.+)", flop.group(2)))
        held = sound.cells[plain_name(flop.group(1))]["connections"]["Q"]
        kept = [index for index, bit in enumerate(held) if bit in live]
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


def _width(folder: Path) -> int:
    """Return the width of the input that chooses a fault."""
    found = re.search(rf"wire width (\d+) input \d+ \\{SELECT}\b", (folder / "faulty.il").read_text())
    return int(found.group(1)) if found else 1
