"""The NMPU proved by composition. What follows from which:

(i)   every multiplier of every stage gives the product, for all pairs of operands (`multipliers`);
(ii)  every group of stages, with the products free, equals its formula for all inputs in their ranges, and its outputs
      lie in the ranges that the next group takes (`stages`), in every rounding mode;
(iii) the shipped Verilog is those stages and what lies between them, cell by cell (`netlist`);
(iv)  what lies between them loses, doubles and reorders no word under any stall, and brings every word its own column's
      parameters in every stage, for runs of any length (`control`);
(v)   where a cell library is given: its netlist equals the Verilog, flip-flop by flip-flop (`mapped`).

(i) and (ii) give the formula of a lane, (iii) and (iv) that the unit computes it for every word. UNDECIDED fails.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from golden_model.fixed import Rounding
from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu import Schedule
from synth import yowasp
from synth.liberty import Library
from synth.mapping import RECIPES, map_cells, source
from synth.prove import planted, planted_control
from synth.prove.control import prove_control
from synth.prove.mapped import prove_mapped
from synth.prove.multipliers import Multiplier, prove_multiplier
from synth.prove.netlist import prove_netlist
from synth.prove.obligation import Obligation, Outcome, Verdict, prove
from synth.prove.stages import obligations
from synth.verilog import elaborate

LANES = 4
"""Of a unit with more lanes one is mapped: they are all alike, and their netlist is large. In the rounding mode of the
configuration itself (iii) takes them all."""
WORKERS = 2
"""Processes at a time."""
SHOWN = 8
"""Numbers of a counterexample that are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of the proof of some configurations."""

    rows: tuple[tuple[str, Outcome], ...]
    """Where (a configuration, or `all`) and what."""
    planted: tuple[Outcome, ...]
    """The planted faults, which must be refuted."""
    seconds: float
    """Time it took."""
    says: str = __doc__ or ""
    """What is proved, from what."""

    @property
    def proved(self) -> bool:
        """Return whether everything is proved and every planted fault refuted."""
        right = all(outcome.verdict is Verdict.PROVED for _, outcome in self.rows)
        return right and all(outcome.verdict is Verdict.REFUTED for outcome in self.planted)


def prove_nmpu(configs: Mapping[str, NmpuConfig], library: Library | None = None) -> Proof:
    """Prove configurations, each in every rounding mode; with a library also the netlists that map them onto it.

    Raises UserError where Yosys or a C++ compiler is missing.
    """
    started = time.monotonic()
    yowasp.tool()  # compiles itself on its first call on a machine: once, not in every worker beside the others
    multipliers: dict[str, Multiplier] = {}
    jobs: list[tuple[str, Future[list[Outcome]]]] = []
    with ProcessPoolExecutor(WORKERS) as pool:
        for name, config in sorted(configs.items(), key=lambda item: -item[1].units):  # the longest first
            jobs.append((name, pool.submit(_netlist, config)))
            jobs += [(name, pool.submit(_netlist, _few(each))) for each in _others(config)]
        asked: set[tuple[str, str]] = set()
        for name, config in configs.items():
            questions = []
            for mode, each in _questions(config):
                key = each.part.text, each.verilog
                if key not in asked:  # the same question is asked once, whatever the configuration
                    asked.add(key)
                    questions.append(dataclasses.replace(each, name=f"{each.name}, {mode.value}"))
                for n, (cut, (a, b)) in enumerate(zip(each.part.cuts, each.operands, strict=True)):
                    two = each.part.rows[n] if each.part.rows else None
                    assert two is None or (two.a, two.b) == (a, b)
                    multiplier = Multiplier(cut=cut, a=a, b=b, rows=two)
                    multipliers.setdefault(repr(multiplier), multiplier)
            if questions:
                jobs.append((name, pool.submit(_stages, questions)))
            jobs += [(name, pool.submit(_control, each)) for each in (config, *_others(config))]
            if library is not None:
                jobs.append((name, pool.submit(_mapped, config, library)))
        for multiplier in sorted(multipliers.values(), key=lambda each: -each.pairs):
            jobs.append(("all", pool.submit(_multiplier, multiplier)))
        faults = [pool.submit(planted.refutations), pool.submit(planted_control.refutations)]
        order = [*configs, "all"]
        rows = [(name, outcome) for name, job in jobs for outcome in job.result()]
        rows.sort(key=lambda row: order.index(row[0]))
        refuted = tuple(outcome for fault in faults for outcome in fault.result())
        return Proof(rows=tuple(rows), planted=refuted, seconds=time.monotonic() - started)


def _questions(config: NmpuConfig) -> Iterator[tuple[Rounding, Obligation]]:
    """Return the obligations of a configuration in every rounding mode, its own first."""
    for mode in _modes(config):
        for each in obligations(dataclasses.replace(config, rounding=mode)):
            yield mode, each


def _others(config: NmpuConfig) -> Iterator[NmpuConfig]:
    """Return a configuration with another rounding mode, where that has other stages: one of each kind."""
    seen = []
    for mode in _modes(config):
        each = dataclasses.replace(config, rounding=mode)
        stages = [(stage.label, stage.latency, *stage.inputs, *stage.outputs) for stage in Schedule(each).stages]
        if stages not in seen:
            seen.append(stages)
            if mode is not config.rounding:
                yield each


def _few(config: NmpuConfig) -> NmpuConfig:
    """Return a configuration with one lane where it has many: they are all alike."""
    return dataclasses.replace(config, units=1) if config.units > LANES else config


def _modes(config: NmpuConfig) -> list[Rounding]:
    """Return the rounding modes, a configuration's own first."""
    return sorted(Rounding, key=lambda mode: mode is not config.rounding)


def _stages(questions: list[Obligation]) -> list[Outcome]:
    return list(prove(questions))


def _netlist(config: NmpuConfig) -> list[Outcome]:
    return [_told(prove_netlist(config), config)]


def _control(config: NmpuConfig) -> list[Outcome]:
    return [_told(prove_control(config), config)]


def _told(outcome: Outcome, config: NmpuConfig) -> Outcome:
    """Return an outcome whose name tells the rounding mode."""
    return dataclasses.replace(outcome, name=f"{outcome.name}, {config.rounding.value}")


def _mapped(config: NmpuConfig, library: Library) -> list[Outcome]:
    """Map a configuration, one lane of a unit with many, and prove the netlist equal to the Verilog."""
    one = config.units > LANES
    text = elaborate("nmpu", _few(config))
    with tempfile.TemporaryDirectory(prefix="nmpu-prove-") as scratch:
        folder = Path(scratch)
        netlist = map_cells(source(text, "nmpu", folder), "nmpu", library, RECIPES[0], 1.0, folder)
    outcome = prove_mapped(text, library, netlist)
    return [dataclasses.replace(outcome, name="mapped, one lane") if one else outcome]


def _multiplier(multiplier: Multiplier) -> list[Outcome]:
    return [prove_multiplier(multiplier)]


def print_proof(proof: Proof, console: Console) -> None:
    """Print what was proved, how, and the counterexamples of the planted faults."""
    console.print(proof.says.strip() + "\n", highlight=False)
    for name, outcome in proof.rows:
        console.print(f"{name:18} {outcome.name:34} {outcome.verdict.value:10} {outcome.why}", highlight=False)
        if outcome.counterexample:
            console.print(f"{'':18} {_values(outcome)}", highlight=False)
    console.print("\nPlanted faults, which must be refuted:", highlight=False)
    for outcome in proof.planted:
        console.print(f"{outcome.verdict.value:10} {outcome.name}: {_values(outcome)}", highlight=False)
    verdicts = [outcome.verdict for _, outcome in proof.rows]
    counted = ", ".join(f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict)
    refuted = sum(outcome.verdict is Verdict.REFUTED for outcome in proof.planted)
    console.print(
        f"\n{counted}; {refuted} of {len(proof.planted)} planted faults refuted; {proof.seconds:.0f} s", highlight=False
    )


def _values(outcome: Outcome) -> str:
    told = [f"{name} = {value}" for name, value in outcome.counterexample.items()]
    return ", ".join(told[:SHOWN]) + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
