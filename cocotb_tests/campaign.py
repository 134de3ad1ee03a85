"""The hunt for faults: does the bench notice a unit that is wrong in one bit?

Faults that `synth.mutation` draws are simulated one after the other, each until the first mismatch: first through a
short bench; what survives is compared with the sound unit by SAT, and what is not proved equal goes through a long one.
The sound netlist must pass first and last. What is neither caught nor proved equal survives, unless a written reason
tells why nobody can see it. `python -m cocotb_tests.campaign [UNIT [FACTOR]]` prints the counts by class.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cocotb_tests.checker import UNKNOWN
from cocotb_tests.contract import Target
from cocotb_tests.icarus import compile_verilog, require, simulate, workspace
from cocotb_tests.job import Job
from cocotb_tests.planted import wrapper
from cocotb_tests.regression import Design
from cocotb_tests.units import contract
from synth.equivalence import Verdict, compare
from synth.mutation import Fault, Part, draw


class Fate(Enum):
    """What became of a fault."""

    CAUGHT = "caught"
    """The bench saw it."""
    EQUAL = "proved equal"
    """SAT: no input and no state shows it."""
    EXCUSED = "set aside"
    """Proved but for one step, for which there is a written reason: `synth.equivalence.Verdict.RESET`."""
    SURVIVED = "survived"
    """Neither: a hole in the bench, or a proof that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What became of the faults of one target."""

    target: Target
    faults: tuple[Fault, ...]
    fates: dict[int, Fate]
    """By number."""
    reasons: dict[int, str]
    """By number: the check that caught it, or why it is set aside."""
    sound: bool
    """Whether the netlist without a fault passed both benches, before and after the faults."""

    def count(self, fate: Fate, part: Part | None = None) -> int:
        """Return how many faults, of a class or of all, met a fate."""
        return sum(self.fates[fault.number] is fate for fault in self.faults if part is None or fault.part is part)

    @property
    def survivors(self) -> tuple[Fault, ...]:
        """Return the faults that nobody noticed."""
        return tuple(fault for fault in self.faults if self.fates[fault.number] is Fate.SURVIVED)


def hunt(design: Design, target: Target, folder: Path, *, seed: int = 1) -> Verdicts:
    """Draw the faults of a target, simulate, compare and simulate again; `folder` keeps netlists and logs."""
    require()
    faults = draw(design.text, dict(target.quotas), folder, top=design.unit, seed=seed)
    compiled = compile_verilog((folder / "faulty.v").read_text(), folder, top=design.unit)

    def simulated(numbers: Sequence[int], size: tuple[int, int]) -> dict[int, str]:
        job = Job(
            unit=design.unit,
            case=target.case,
            latency=design.latency,
            words=size[0],
            corners=size[1],
            faults=tuple(numbers),
            result=str(folder / "outcome.json"),
        )
        outcome = simulate(compiled, "bench_mutants", job, top=design.unit, seconds=900)
        return {int(number): kind for number, kind in outcome.caught.items()}

    reasons = simulated([0, *(fault.number for fault in faults), 0], target.short)
    sound = not reasons.pop(0)
    fates = {number: Fate.CAUGHT if kind else Fate.SURVIVED for number, kind in reasons.items()}
    # An X is the simulator's caution: a fault that shows as nothing else may still be equal in hardware.
    verdicts = compare([fault for fault in faults if reasons[fault.number] in ("", UNKNOWN)], folder, top=design.unit)
    fates |= {number: Fate.EQUAL for number, verdict in verdicts.items() if verdict is Verdict.EQUAL}
    left = [fault for fault in faults if fates[fault.number] is Fate.SURVIVED]
    if left:
        again = simulated([0, *(fault.number for fault in left)], target.long)
        sound = not again.pop(0) and sound
        reasons |= again
        fates |= {number: Fate.CAUGHT for number, kind in again.items() if kind}
        for fault in left:
            if verdicts[fault.number] is Verdict.RESET and fates[fault.number] is Fate.SURVIVED:
                fates[fault.number], reasons[fault.number] = Fate.EXCUSED, Verdict.RESET.value
    return Verdicts(target=target, faults=tuple(faults), fates=fates, reasons=reasons, sound=sound)


def hunt_all(unit: str, folder: Path, factor: int = 1) -> list[Verdicts]:
    """Hunt the faults of every target of a unit side by side, with `factor` times the quotas."""
    require()
    known = contract(unit)
    designs = [Design.of(unit, known.case(target.case)) for target in known.targets]
    folders = [folder / target.case for target in known.targets]
    for own in folders:
        own.mkdir()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(hunt, designs, [target.times(factor) for target in known.targets], folders))


def hunt_planted(unit: str, folder: Path) -> dict[str, str]:
    """Return, by the name of every planted fault and misreading of a unit, the check that caught it, or an empty text.

    A misreading's name is followed by its configuration; a sound unit that fails stands under "no fault".
    """
    require()
    runs: list[tuple[str, Design, str, dict[int, str]]] = []
    known = contract(unit)
    target = Design.of(unit, known.case(known.planted))
    faults = known.faults(target.case.config)
    wrapped = replace(target, text=wrapper(unit, known.ports(target.case.config), target.text, faults))
    runs.append(
        ("bench_mutants", wrapped, known.planted, {number: fault.name for number, fault in enumerate(faults, 1)})
    )
    for name in dict.fromkeys(misreading.case for misreading in known.misreadings):
        own = {n: f"{m.name}, {name}" for n, m in enumerate(known.misreadings, 1) if m.case == name}
        runs.append(("bench_misread", Design.of(unit, known.case(name)), name, own))

    def simulated(run: tuple[str, Design, str, dict[int, str]]) -> dict[str, str]:
        bench, design, name, names = run
        own = folder / bench / name
        own.mkdir(parents=True)
        compiled = compile_verilog(design.text, own, top=unit)
        job = Job(unit=unit, case=name, latency=design.latency, faults=(0, *names), result=str(own / "outcome.json"))
        kinds = simulate(compiled, bench, job, top=unit, seconds=900).caught
        sound = {f"no fault, {bench}, {name}": "the sound unit fails"} if kinds.pop("0") else {}
        return sound | {names[int(number)]: kind for number, kind in kinds.items()}

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return {name: kind for caught in pool.map(simulated, runs) for name, kind in caught.items()}


def print_verdicts(found: Sequence[Verdicts], console: Console) -> None:
    """Print the fates by target and class, and every survivor."""
    table = Table(title="faults, by class")
    for name in ("configuration", "class", "drawn", *(fate.value for fate in Fate), "of the rest"):
        text = name in ("configuration", "class")
        table.add_column(name, justify="left" if text else "right", no_wrap=text)
    for verdicts in found:
        for part in (*Part, None):
            counts = {fate: verdicts.count(fate, part) for fate in Fate}
            rest = counts[Fate.CAUGHT] + counts[Fate.SURVIVED]
            share = f"{100 * counts[Fate.CAUGHT] / rest:.1f} %" if rest else "-"
            name = "all" if part is None else part.value
            numbers = [str(count) for count in counts.values()]
            table.add_row(verdicts.target.case, name, str(sum(counts.values())), *numbers, share)
    console.print(table)
    for verdicts in found:
        for fault in verdicts.faults:
            if verdicts.fates[fault.number] in (Fate.SURVIVED, Fate.EXCUSED):
                reason = verdicts.reasons[fault.number] or "nobody noticed"
                console.print(f"{verdicts.target.case}: {fault}: {reason}", highlight=False, markup=False)


def main(unit: str = "nmpu", factor: str = "1") -> None:
    """Hunt the faults of every target of a unit, `factor` times the quotas, and print what became of them."""
    with workspace() as root:
        print_verdicts(hunt_all(unit, root, int(factor)), Console())


if __name__ == "__main__":
    main(*sys.argv[1:])
