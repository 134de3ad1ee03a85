"""The hunt for faults: does the bench notice a unit that is wrong in one bit?

Faults that `synth.mutation` draws are simulated one after the other, each until the first mismatch: first through a
short bench; what survives is compared with the sound unit by SAT, and what is not proved equal goes through a long one.
The sound netlist must pass first and last. What is neither caught nor proved equal survives, unless a written reason
tells why nobody can see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cocotb_tests.configurations import case
from cocotb_tests.icarus import compile_verilog, require, simulate
from cocotb_tests.job import Job
from cocotb_tests.misread import MISREADINGS
from cocotb_tests.planted import planted, wrapper
from cocotb_tests.regression import Design
from synth.equivalence import Verdict, compare
from synth.mutation import Fault, Netlist, Part, draw, plain_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A configuration that gets faults, how many a class, and how long the benches are."""

    case: str
    """Name in `cocotb_tests.configurations`."""
    quotas: dict[Part, int]
    """Faults of each class."""
    short: tuple[int, int] = (120, 8)
    """Random words and corner batches of the bench that every fault meets."""
    long: tuple[int, int] = (4000, 96)
    """Random words and corner batches of the bench for what is left."""

    def times(self, factor: int) -> Target:
        """Return the target with every quota multiplied."""
        quotas = {part: factor * quota for part, quota in self.quotas.items()}
        return Target(case=self.case, quotas=quotas, short=self.short, long=self.long)


TARGETS = (
    Target(case="faulty_every_2x2", quotas={Part.DATAPATH: 80, Part.STORE: 40, Part.CONTROL: 30, Part.FLAGS: 20}),
    Target(case="faulty_dual_1x4", quotas={Part.DATAPATH: 30, Part.STORE: 20, Part.CONTROL: 20, Part.FLAGS: 10}),
)
"""250 faults: every stage, and the paper's formats."""


PLANTED = "faulty_every_2x2"
"""The configuration that gets the faults with names."""


class Fate(Enum):
    """What became of a fault."""

    CAUGHT = "caught"
    """The bench saw it."""
    EQUAL = "proved equal"
    """SAT: no input and no state shows it."""
    EXCUSED = "set aside"
    """Not proved, but there is a written reason why no word, flag or handshake can show it."""
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


def _excuse(fault: Fault, netlist: Netlist) -> str | None:
    """Return why a fault can be seen by nobody, where a reason is known.

    The number of a word behind the first step means something only beside a set valid bit. A reset clears the valid
    bits, so what it writes into those numbers is never used.
    """
    cell = netlist.cells[plain_name(fault.cell)]
    resets = cell["type"] == "$mux" and set(cell["connections"]["S"]) == netlist.port("rst")
    if resets and fault.port.split("[")[0] in ("S", "B") and fault.part is Part.CONTROL:
        deciding, _ = netlist.cone(netlist.port("i__ready", "o__valid", "idle"), through=True)
        if plain_name(fault.cell) not in deciding:
            return "resets the number of a word that has lost its valid bit"
    return None


def hunt(design: Design, target: Target, folder: Path, *, seed: int = 1) -> Verdicts:
    """Draw the faults of a target, simulate, compare and simulate again; `folder` keeps netlists and logs."""
    require()
    faults = draw(design.text, target.quotas, folder, seed=seed)
    compiled = compile_verilog((folder / "faulty.v").read_text(), folder)

    def simulated(numbers: Sequence[int], size: tuple[int, int]) -> dict[int, str]:
        job = Job(
            case=target.case,
            latency=design.latency,
            words=size[0],
            corners=size[1],
            faults=tuple(numbers),
            result=str(folder / "outcome.json"),
        )
        outcome = simulate(compiled, "bench_mutants", job, seconds=900)
        return {int(number): kind for number, kind in outcome.caught.items()}

    reasons = simulated([0, *(fault.number for fault in faults), 0], target.short)
    sound = not reasons.pop(0)
    fates = {number: Fate.CAUGHT if kind else Fate.SURVIVED for number, kind in reasons.items()}
    for number, verdict in compare([fault for fault in faults if not reasons[fault.number]], folder).items():
        if verdict is Verdict.EQUAL:
            fates[number] = Fate.EQUAL
    left = [fault for fault in faults if fates[fault.number] is Fate.SURVIVED]
    if left:
        again = simulated([0, *(fault.number for fault in left)], target.long)
        sound = not again.pop(0) and sound
        reasons |= again
        fates |= {number: Fate.CAUGHT for number, kind in again.items() if kind}
        netlist = Netlist.read(folder / "unit.json")
        for fault in left:
            reason = _excuse(fault, netlist)
            if reason is not None and fates[fault.number] is Fate.SURVIVED:
                fates[fault.number], reasons[fault.number] = Fate.EXCUSED, reason
    return Verdicts(target=target, faults=tuple(faults), fates=fates, reasons=reasons, sound=sound)


def hunt_planted(folder: Path) -> dict[str, str]:
    """Return, by the name of every planted fault and misreading, the check that caught it, or an empty text.

    A misreading's name is followed by its configuration; a sound unit that fails stands under "no fault".
    """
    require()
    caught: dict[str, str] = {}

    def simulated(name: str, text: str, bench: str, latency: int, faults: dict[int, str]) -> None:
        (folder / bench / name).mkdir(parents=True)
        compiled = compile_verilog(text, folder / bench / name)
        job = Job(case=name, latency=latency, faults=(0, *faults), result=str(compiled.with_name("outcome.json")))
        kinds = simulate(compiled, bench, job, seconds=900).caught
        if kinds.pop("0"):
            caught[f"no fault, {name}"] = "the sound unit fails"
        caught.update({faults[int(number)]: kind for number, kind in kinds.items()})

    target = case(PLANTED)
    design = Design.of("nmpu", target)
    faults = planted(target.config)
    text = wrapper(target.config, design.text, faults)
    names = {number: fault.name for number, fault in enumerate(faults, 1)}
    simulated(PLANTED, text, "bench_mutants", design.latency, names)
    for name in dict.fromkeys(misreading.case for misreading in MISREADINGS):
        design = Design.of("nmpu", case(name))
        own = {n: f"{m.name}, {name}" for n, m in enumerate(MISREADINGS, 1) if m.case == name}
        simulated(name, design.text, "bench_misread", design.latency, own)
    return caught


def print_verdicts(found: Sequence[Verdicts], console: Console) -> None:
    """Print the fates by target and class, and every survivor."""
    table = Table(title="faults, by class")
    for name in ("configuration", "class", "drawn", *(fate.value for fate in Fate), "caught of the rest"):
        table.add_column(name, justify="left" if name in ("configuration", "class") else "right")
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
