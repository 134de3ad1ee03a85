"""Faults in the stages that the proofs must refute: small, rare, and at least one in every stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Mux

from golden_model.fixed import Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from hdl.fixed import Number
from hdl.nmpu.accumulate import Accumulate, Compress, Gather, Limit
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.final import (
    AddResidual,
    BatchNormAdd,
    BatchNormMultiply,
    Relu,
    Requantise,
    ResidualMultiply,
    ResidualShift,
)
from hdl.nmpu.stage import Stage
from synth.prove.obligation import Obligation, Outcome, Verdict, prove
from synth.prove.stages import groups, obligation

Numbers = dict[str, Number]

EVERY = NmpuConfig(batch_norm=True, max_layer_shift=4, max_column_shift=7, cut_pre=1, units=1, columns=1)
"""What the faults are planted in: every stage that comes with run-time shifts, both of them, a cut."""
TIES = NmpuConfig(rounding=Rounding.HALF_EVEN, units=1, columns=1)
"""A rounding that needs T itself, and a column of one tile that keeps its low bits."""
FOLDED = NmpuConfig(carry_save=True, units=1, columns=1)
"""The default's stages, products as rows: one adder gathers everything."""
NORMED = NmpuConfig(carry_save=True, batch_norm=True, units=1, columns=1)
"""The same with the saturation in front of the register, since a multiplier is behind it."""
CODED = NmpuConfig(input=Input.CODE, units=1, columns=1)
"""A signed code, which that adder negates."""
CODED_NORMED = NmpuConfig(input=Input.CODE, batch_norm=True, units=1, columns=1)
"""Both."""
ALONE = NmpuConfig(input=Input.CODE, partial_sum=False, residual=False, units=1, columns=1)
"""Nothing but a signed code, its offset and the last rounding, in the multiplier's adder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One fault."""

    name: str
    """What is wrong."""
    stage: type[Stage]
    """Where."""
    inputs: Callable[[Numbers], Numbers] = lambda numbers: {}
    """What the stage sees instead of its inputs."""
    outputs: Callable[[Numbers, Numbers], Numbers] = lambda given, made: {}
    """What it gives instead of its outputs, from its inputs and right outputs."""
    config: NmpuConfig = EVERY
    """The unit it is planted in."""

    @property
    def stages(self) -> list[Stage]:
        """Return the stages of the formula that the fault is in."""
        return next(each for each in groups(self.config) if any(type(stage) is self.stage for stage in each))

    @property
    def obligation(self) -> Obligation:
        """Return the proof that must fail: the group of the stage, with the fault in it."""
        fault = self

        class Faulty(self.stage):  # type: ignore[name-defined,misc]  # a class known at run time
            def compute(self, m: Module, name: str, **inputs: Number) -> Numbers:
                inputs = inputs | fault.inputs(inputs)
                made: Numbers = super().compute(m, name, **inputs)
                return made | fault.outputs(inputs, made)

        stages = self.stages
        faulty = [Faulty(stage.config) if type(stage) is self.stage else stage for stage in stages]
        return obligation(stages, faulty)


def _set(number: Number, value: Any) -> Number:
    return Number(value, number.range)


def _where(number: Number, when: Any, value: Any) -> Number:
    """Return a number that has another value where a condition holds."""
    chosen = Mux(when, value, number.value)
    return Number(chosen.as_signed() if number.range.lo < 0 else chosen, number.range)


_LOWEST = FOLDED.sum_range.lo << (FOLDED.affine_fraction - FOLDED.guard)
"""The smallest sum at the fraction of T."""

PLANTED: tuple[Planted, ...] = (
    Planted(
        name="the counts are not swapped where the first is 4095",
        stage=Multiply,
        inputs=lambda n: {"negate": _where(n["negate"], n["first"].value == 4095, 0)},
    ),
    Planted(
        name="the product that is taken loses its lowest bit",
        stage=Multiply,
        outputs=lambda n, out: {"taken": _set(out["taken"], out["taken"].value & ~1)},
    ),
    Planted(
        name="the most negative offset counts as 0",
        stage=Affine,
        inputs=lambda n: {"offset": _where(n["offset"], n["offset"].value == -128, 0)},
    ),
    Planted(
        name="the largest column shift acts as the one below",
        stage=Affine,
        inputs=lambda n: {"shift": _where(n["shift"], n["shift"].value == 7, 6)},
    ),
    Planted(
        name="a term is floored instead of rounded",
        stage=Compress,
        outputs=lambda n, out: {"carry": _set(out["carry"], Const(0, 1))},
    ),
    Planted(
        name="a column of one tile loses its lowest bit",
        stage=Compress,
        config=TIES,
        outputs=lambda n, out: {"rest": _set(out["rest"], out["rest"].value & ~1)},
    ),
    Planted(
        name="a tie above an odd number is rounded down",
        stage=Compress,
        config=TIES,
        outputs=lambda n, out: {"carry": _where(out["carry"], n["total"].value[:5] == 16, 0)},
    ),
    Planted(
        name="the largest sum is one less",
        stage=Accumulate,
        outputs=lambda n, out: {
            "total": _where(out["total"], out["total"].value == EVERY.sum_range.hi, EVERY.sum_range.hi - 1)
        },
    ),
    Planted(
        name="a sum that saturates below does not flag",
        stage=Accumulate,
        outputs=lambda n, out: {"sum_saturated": _where(out["sum_saturated"], out["total"].value < 0, 0)},
    ),
    Planted(
        name="two rows: the counts are not swapped where the first is 4095",
        stage=Multiply,
        config=FOLDED,
        inputs=lambda n: {"negate": _where(n["negate"], n["first"].value == 4095, 0)},
    ),
    Planted(
        name="two rows: the lowest bit of one is lost",
        stage=Multiply,
        config=FOLDED,
        outputs=lambda n, out: {"row_a": _set(out["row_a"], out["row_a"].value & ~1)},
    ),
    Planted(
        name="what rounds is one less than a half",
        stage=Gather,
        config=FOLDED,
        inputs=lambda n: {"row_a": n["row_a"] - n["rounded"]},
    ),
    Planted(
        name="a column of one tile is rounded where a row is 1",
        stage=Gather,
        config=FOLDED,
        inputs=lambda n: {"rounded": _where(n["rounded"], n["row_a"].value == 1, 1)},
    ),
    Planted(
        name="a received -1 counts as 0",
        stage=Gather,
        config=FOLDED,
        inputs=lambda n: {"received": _where(n["received"], n["received"].value == -1, 0)},
    ),
    Planted(
        name="a sum beyond the largest becomes the smallest",
        stage=Limit,
        config=FOLDED,
        outputs=lambda n, out: {
            "total": _where(out["total"], out["sum_saturated"].value & (out["total"].value > 0), _LOWEST)
        },
    ),
    Planted(
        name="the first ReLU passes a sum that saturates below",
        stage=Limit,
        config=CODED,
        outputs=lambda n, out: {
            "total": _where(out["total"], out["sum_saturated"].value & (n["whole"].value < 0), _LOWEST)
        },
    ),
    Planted(
        name="a received 1 counts as 0, in front of a batch norm",
        stage=Gather,
        config=NORMED,
        inputs=lambda n: {"received": _where(n["received"], n["received"].value == 1, 0)},
    ),
    Planted(
        name="a code is negated without its carry, in front of a batch norm",
        stage=Gather,
        config=CODED_NORMED,
        inputs=lambda n: {"added": n["added"] + n["negated"]},
    ),
    Planted(
        name="a code is negated without its carry",
        stage=Gather,
        config=CODED,
        inputs=lambda n: {"added": n["added"] + n["negated"]},
    ),
    Planted(
        name="what the complements lack is left out where the offset is 63.5",
        stage=Multiply,
        config=ALONE,
        outputs=lambda n, out: {
            "summed": _where(out["summed"], n["negate"].value & (n["offset"].value == 127), out["summed"].value - 1)
        },
    ),
    Planted(
        name="a negated code of 0 is not complemented back",
        stage=Affine,
        config=ALONE,
        outputs=lambda n, out: {"total": _where(out["total"], n["summed"].value == 0, 0)},
    ),
    Planted(
        name="the batch norm's scale code 255 is read as 254",
        stage=BatchNormMultiply,
        inputs=lambda n: {"bn_scale": _where(n["bn_scale"], n["bn_scale"].value == 255, 254)},
    ),
    Planted(
        name="the batch norm's product is negated without its carry",
        stage=BatchNormAdd,
        outputs=lambda n, out: {"total": _where(out["total"], n["bn_negate"].value, out["total"].value - 1)},
    ),
    Planted(
        name="the first ReLU passes -1",
        stage=Relu,
        outputs=lambda n, out: {"total": _where(out["total"], n["total"].value == -1, -1)},
    ),
    Planted(
        name="the operand -128 counts as -127",
        stage=ResidualMultiply,
        inputs=lambda n: {"residual": _where(n["residual"], n["residual"].value == -128, -127)},
    ),
    Planted(
        name="an operand whose shift is 5 is added though it is not asked for",
        stage=ResidualShift,
        inputs=lambda n: {"add": _where(n["add"], n["residual_shift"].value == 5, 1)},
    ),
    Planted(
        name="a total of -1 counts as 0",
        stage=AddResidual,
        inputs=lambda n: {"total": _where(n["total"], n["total"].value == -1, 0)},
    ),
    Planted(
        name="residual shift 7 acts as 6",
        stage=ResidualShift,
        inputs=lambda n: {"residual_shift": _where(n["residual_shift"], n["residual_shift"].value == 7, 6)},
    ),
    Planted(
        name="the output -127 becomes -128, which has no sign + 7-bit code",
        stage=Requantise,
        outputs=lambda n, out: {"code": _where(out["code"], out["code"].value == -127, -128)},
    ),
    Planted(
        name="a negative that the last ReLU clips flags as saturated",
        stage=Requantise,
        outputs=lambda n, out: {
            "saturated": _where(out["saturated"], n["relu_after"].value & (n["total"].value < -(1 << 34)), 1)
        },
    ),
)
"""The faults."""


def refutations() -> list[Outcome]:
    """Try to prove every planted fault right; a verdict other than REFUTED is a failure of the proofs themselves."""
    outcomes = prove([fault.obligation for fault in PLANTED])
    return [
        Outcome(
            name=f"{fault.stage.__name__}: {fault.name}",
            verdict=outcome.verdict,
            counterexample=outcome.counterexample,
            why="planted",
        )
        for fault, outcome in zip(PLANTED, outcomes, strict=True)
    ]


def escaped(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the planted faults that were not refuted."""
    return [outcome for outcome in outcomes if outcome.verdict is not Verdict.REFUTED]
