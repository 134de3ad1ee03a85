"""The arithmetic of the FP16 unit proved. What follows from which:

(i)   the 11 x 11 multiplier of significands gives the product, for all pairs (`multipliers`);
(ii)  what the multiply-add finds out of its operands, for all operands, the product free; and its result where that is
      infinite or no number, for all of it;
(iii) its sum, normalised and rounded once, against exact integers: for every distance between the exponents of product
      and addend, one by one, all significands, exponents and signs;
(iv)  the conversions from and to integers and the ReLU, for all inputs.

Not proved, left to the regression in the simulator: the registers and the wiring between the operations, and the
control, which is the NMPU's own (`hdl.frame`). UNDECIDED fails.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from amaranth.hdl import Const, Module

from golden_model.fp16_unit import Fp16Config
from hdl import float16 as hardware
from synth.prove.float16 import SIGNIFICAND, add, obligations
from synth.prove.multipliers import Multiplier, prove_multiplier
from synth.prove.obligation import Obligation, Outcome, prove
from synth.prove.unit import WORKERS, Proof

BATCH = 4
"""Questions in one run of Yosys."""

PLANTED: Mapping[str, tuple[str, int, str, Any]] = {
    "align: what is shifted out is forgotten": ("align", 30, "sticky", lambda value: Const(0, 1)),
    "add: the lowest bit of the product is lost": ("add", 1, "magnitude", lambda value: value & ~8),
    "add: the sign of a sum below zero is kept": ("add", -3, "negative", lambda value: ~value),
    "count: the exponent is one too small where it is 17": ("count", 0, "biased", lambda value: value - (value == 17)),
    "normalise: the bit below the last is lost": ("normalise", 5, "half", lambda value: Const(0, 1)),
    "round: a tie goes up": ("normalise", 12, "rest", lambda value: Const(1, 1)),
}
"""Planted faults of the sum: the part, a distance that shows it, the number that is wrong, and what it is instead."""


def prove_fp16(configs: Mapping[str, Fp16Config]) -> Proof:
    """Prove the operations of some configurations of the FP16 unit, and that planted faults in them are refuted.

    Raises UserError where Yosys or a C++ compiler is missing.
    """
    started = time.monotonic()
    questions = list(obligations(list(configs.values())))
    cut = questions[0].part.cuts[0]
    with ProcessPoolExecutor(WORKERS) as pool:
        batches = [pool.submit(_prove, questions[first : first + BATCH]) for first in range(0, len(questions), BATCH)]
        faults = pool.submit(refutations)
        multiplier = pool.submit(prove_multiplier, Multiplier(cut=cut, a=SIGNIFICAND, b=SIGNIFICAND))
        rows = [multiplier.result(), *(outcome for batch in batches for outcome in batch.result())]
        planted = tuple(faults.result())
    return Proof(
        says=__doc__ or "",
        rows=tuple(("all", row) for row in rows),
        planted=planted,
        seconds=time.monotonic() - started,
    )


def _prove(questions: Sequence[Obligation]) -> list[Outcome]:
    return list(prove(questions))


def refutations() -> list[Outcome]:
    """Try to prove every planted fault right; a verdict other than REFUTED is a failure of the proofs themselves."""
    outcomes = prove([_faulty(*fault) for fault in PLANTED.values()])
    return [replace(outcome, name=name) for name, outcome in zip(PLANTED, outcomes, strict=True)]


def _faulty(name: str, distance: int, wrong: str, fault: Any) -> Obligation:
    """Return the obligation of a distance with a fault in one number of a part."""

    def compute(m: Module, prefix: str, values: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = sound.compute(m, prefix, values)
        return made | {wrong: fault(made[wrong])[: len(made[wrong])]}

    steps = hardware.multiply_add(1).parts[1:]
    sound = next(step for step in steps if step.name == name)
    return add(distance, [replace(step, compute=compute) if step is sound else step for step in steps])
