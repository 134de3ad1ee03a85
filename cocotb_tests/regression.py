"""The cocotb regression of a unit as one function: `nmpu verify` and pytest call it, from a checkout or a wheel."""

from __future__ import annotations

import gc
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.hdl import UnusedElaboratable
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cocotb_tests.contract import Case
from cocotb_tests.icarus import compile_verilog, require, simulate, workspace
from cocotb_tests.job import Job, Outcome
from cocotb_tests.units import contract
from golden_model.errors import UserError
from synth.registry import unit as find_unit
from synth.verilog import elaborate

QUICK_WORDS, QUICK_CORNERS = 300, 12
"""Random words and corner batches of a configuration in a quick run."""
STALLS = ("stall.output_waits", "stall.input_waits", "stall.bubble")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one configuration did."""

    name: str
    """Name of the case."""
    words: int
    """Random words that came out right; a word carries a code for every lane."""
    corners: int
    """Corner words that came out right."""
    codes: int
    """Output codes or sums compared."""
    cycles: int
    """Clock cycles simulated."""
    stalls: int
    """Cycles in which a word waited on either side or a bubble went through."""
    loads: int
    """Parameter loads."""
    resets: int
    """Resets in mid-stream."""
    bins: int
    """Cover bins hit."""
    mismatches: tuple[str, ...]
    """What differed; the first mismatch ends a configuration."""
    seconds: float
    """Wall time of build and simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a regression found."""

    unit: str
    """The unit."""
    seed: int
    """Seed of all stimulus."""
    quick: bool
    """Whether it was a short run, which the test plan is not held against."""
    rows: tuple[Row, ...]
    """One a configuration, in the order of the unit's contract."""
    bins: dict[str, int] = field(default_factory=dict)
    """Cover bins of all configurations together."""
    unmet: tuple[str, ...] = ()
    """Points of the test plan that no configuration met; empty in a quick run."""
    waves: str | None = None
    """The trace that was left."""
    seconds: float = 0.0
    """Wall time of everything."""

    @property
    def passed(self) -> bool:
        """Return whether nothing differed and every point of the plan was met."""
        return not self.unmet and not any(row.mismatches for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A case as Verilog."""

    unit: str
    """Name of the unit and of the module."""
    case: Case
    """The configuration."""
    text: str
    """Verilog."""
    latency: int
    """What the component states."""

    @staticmethod
    def of(unit: str, entry: Case) -> Design:
        """Elaborate a case."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedElaboratable)  # a component made to be asked for its latency only
            latency = int(find_unit(unit).component(entry.config).latency)
            gc.collect()
        return Design(unit=unit, case=entry, text=elaborate(unit, entry.config), latency=latency)


def run_design(
    design: Design, folder: Path, *, seed: int, words: int | None, corners: int | None, waves: Path | None = None
) -> tuple[Row, Outcome]:
    """Build a design in a new folder and run the bench on it."""
    began = time.perf_counter()
    folder.mkdir()
    job = Job(
        unit=design.unit,
        case=design.case.name,
        latency=design.latency,
        seed=seed,
        words=words,
        corners=corners,
        result=str(folder / "outcome.json"),
    )
    compiled = compile_verilog(design.text, folder, top=design.unit, waves=waves)
    outcome = simulate(compiled, "bench_unit", job, top=design.unit, waves=waves)
    row = Row(
        name=design.case.name,
        words=outcome.words,
        corners=outcome.corners,
        codes=(outcome.words + outcome.corners) * contract(design.unit).ports(design.case.config).results,
        cycles=outcome.cycles,
        stalls=sum(outcome.bins.get(name, 0) for name in STALLS),
        loads=outcome.loads,
        resets=outcome.resets,
        bins=sum(1 for hits in outcome.bins.values() if hits),
        mismatches=tuple(outcome.mismatches),
        seconds=time.perf_counter() - began,
    )
    return row, outcome


@contextmanager
def _progress(console: Console | None, total: int) -> Iterator[Progress]:
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=console is None) as progress:
        progress.add_task("building", total=total)
        yield progress


def verify(
    unit: str = "nmpu",
    *,
    seed: int = 0,
    quick: bool = False,
    waves: Path | None = None,
    console: Console | None = None,
    workers: int | None = None,
) -> Summary:
    """Run the regression of a unit on Icarus Verilog and return what it found.

    Parameters: `seed` of all stimulus; `quick` takes three configurations and fewer words, and leaves the test plan
    aside; `waves` leaves the trace (.vcd or .fst) of the first configuration that failed, else of a short run with all
    stages on; `console` shows progress; `workers` simulations at a time, one a processor by default.
    """
    known = contract(unit)
    require()
    if waves is not None and waves.suffix not in (".vcd", ".fst"):
        raise UserError(f"--waves {waves}: a trace ends in .vcd or .fst")
    if waves is not None and not waves.absolute().parent.is_dir():
        raise UserError(f"--waves {waves}: the folder {waves.absolute().parent} does not exist")
    began = time.perf_counter()
    chosen = [entry for entry in known.cases if entry.quick or not quick]
    words, corners = (QUICK_WORDS, QUICK_CORNERS) if quick else (None, None)
    found: dict[str, tuple[Row, Outcome]] = {}
    with workspace() as root, _progress(console, len(chosen)) as progress:
        pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
        try:
            running: dict[Future[tuple[Row, Outcome]], str] = {}
            for entry in sorted(chosen, key=lambda entry: -known.ports(entry.config).count):
                design = Design.of(unit, entry)  # here, one after the other, while simulations run beside it
                folder = root / entry.name
                future = pool.submit(run_design, design, folder, seed=seed, words=words, corners=corners)
                running[future] = entry.name
            for future in as_completed(running):
                found[running[future]] = future.result()
                progress.update(progress.task_ids[0], advance=1, description=running[future])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        rows = tuple(found[entry.name][0] for entry in chosen)
        if waves is not None:
            failed = next((row.name for row in rows if row.mismatches), None)
            words, corners = (words, corners) if failed else (40, 2)
            design = Design.of(unit, known.case(failed or known.traced))
            run_design(design, root / "waves", seed=seed, words=words, corners=corners, waves=waves.absolute())
    bins: Counter[str] = Counter()
    for _, outcome in found.values():
        bins.update(outcome.bins)
    missing = () if quick else tuple(f"{point.feature}: {point.corner}" for point in known.unmet(bins))
    return Summary(
        unit=unit,
        seed=seed,
        quick=quick,
        rows=rows,
        bins=dict(bins),
        unmet=missing,
        waves=None if waves is None else str(waves),
        seconds=time.perf_counter() - began,
    )


def print_summary(summary: Summary, console: Console) -> None:
    """Print the table of a regression, what differed, and which points of the plan were not met."""
    table = Table(
        title=f"{summary.unit} against its golden model, tolerance 0, seed {summary.seed}", box=box.SIMPLE, padding=0
    )
    table.add_column("configuration", no_wrap=True)
    for name in ("words", "corners", "codes", "cycles", "stalls", "loads", "resets", "bins", "s", "differ"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summary.rows:
        numbers = (row.words, row.corners, row.codes, row.cycles, row.stalls, row.loads, row.resets, row.bins)
        verdict = "[red]yes[/]" if row.mismatches else "[green]0[/]"
        table.add_row(row.name, *(f"{number:,}" for number in numbers), f"{row.seconds:.1f}", verdict)
    console.print(table)
    for row in summary.rows:
        for mismatch in row.mismatches:
            console.print(f"[red]{row.name}[/]: {mismatch}", highlight=False)
    points = len(contract(summary.unit).points)
    codes, bins = sum(row.codes for row in summary.rows), sum(1 for hits in summary.bins.values() if hits)
    plan = (
        "a quick run, the test plan left aside"
        if summary.quick
        else f"{points - len(summary.unmet)} of {points} points of the test plan met"
    )
    broken = any(row.mismatches for row in summary.rows)  # a configuration that stopped early explains what is unmet
    for point in () if broken else summary.unmet:
        console.print(f"[red]not met[/]: {point}", highlight=False)
    console.print(f"{codes:,} codes compared, {bins} bins hit, {plan}; {summary.seconds:.0f} s", highlight=False)
    if summary.waves is not None:
        console.print(f"trace: {summary.waves}", highlight=False)
