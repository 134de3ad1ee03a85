"""Faults in the stages that the proofs must refute: small, rare, and at least one in every stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Module, Mux

from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import Number
from hdl.nmpu.accumulate import Accumulate, Compress
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.final import AddResidual, BatchNormAdd, BatchNormMultiply, Relu, Requantise, ResidualMultiply
from hdl.nmpu.stage import Stage
from synth.prove import stages
from synth.prove.obligation import Obligation, Outcome, Verdict, prove

Numbers = dict[str, Number]

EVERY = NmpuConfig(batch_norm=True, max_layer_shift=4, max_column_shift=7, cut_pre=1, units=1, columns=1)
"""What the faults are planted in: every stage, both shifts, a cut."""
FOLDED = NmpuConfig(units=1, columns=1)
"""The default's stages: a column of one tile keeps its low bits."""


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
    def obligation(self) -> Obligation:
        """Return the proof that must fail: the group of the stage, with the fault in it."""
        fault = self

        class Faulty(self.stage):  # type: ignore[name-defined,misc]  # a class known at run time
            def compute(self, m: Module, name: str, **inputs: Number) -> Numbers:
                inputs = inputs | fault.inputs(inputs)
                made: Numbers = super().compute(m, name, **inputs)
                return made | fault.outputs(inputs, made)

        name = next(name for name, kinds in stages.GROUPS.items() if self.stage in kinds)
        kinds = [Faulty if kind is self.stage else kind for kind in stages.GROUPS[name]]
        return stages.MAKERS[name](self.config, [kind(self.config) for kind in kinds])


def _set(number: Number, value: Any) -> Number:
    return Number(value, number.range)


def _where(number: Number, when: Any, value: Any) -> Number:
    """Return a number that has another value where a condition holds."""
    chosen = Mux(when, value, number.value)
    return Number(chosen.as_signed() if number.range.lo < 0 else chosen, number.range)


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
        config=FOLDED,
        outputs=lambda n, out: {"rest": _set(out["rest"], out["rest"].value & ~1)},
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
        name="the operand -128 is added though it is not asked for",
        stage=ResidualMultiply,
        inputs=lambda n: {"add": _where(n["add"], n["residual"].value == -128, 1)},
    ),
    Planted(
        name="residual shift 7 acts as 6",
        stage=AddResidual,
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
