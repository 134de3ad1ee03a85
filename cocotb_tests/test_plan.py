"""What of the benches can be judged without a simulator: the plan, the page that shows it, the ports, the refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.checker import Checker, Mismatch
from cocotb_tests.contract import Contract
from cocotb_tests.plan import page
from cocotb_tests.ports import Field, Struct
from cocotb_tests.regression import verify
from cocotb_tests.scenario import Stall, scenarios
from cocotb_tests.units import CONTRACTS, contract
from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from synth.registry import unit as find_unit

PAGE = Path(__file__).parents[1] / "docs" / "verification.md"

every_unit = pytest.mark.parametrize("known", CONTRACTS.values(), ids=CONTRACTS)


@every_unit
def test_contract_names_what_there_is(known: Contract) -> None:
    """Its cases are configurations of a unit in the registry, named once; what it says of cases names one."""
    entries = (*known.cases, *known.extra)
    assert len({entry.name for entry in entries}) == len(entries)
    assert {type(entry.config) for entry in entries} == {find_unit(known.unit).config}
    named = (known.traced, known.planted, *known.measured, *(target.case for target in known.targets))
    assert [known.case(name).name for name in named] == list(named)
    assert {misread.case for misread in known.misreadings} <= {entry.name for entry in entries}
    with pytest.raises(UserError, match=f"{known.unit} has no configuration 'tiny'"):
        known.case("tiny")


@pytest.mark.skipif(not PAGE.exists(), reason="the page stands in a checkout only")
def test_page_shows_the_plan() -> None:
    """`python -m cocotb_tests.plan docs/verification.md` brings the table up to date."""
    text = PAGE.read_text()
    assert page(text) == text
    assert all(f"<!-- plan {unit}: begin -->" in text for unit in CONTRACTS)


@every_unit
def test_points_are_named_once_and_unmet_without_hits(known: Contract) -> None:
    """A point with one bin missing is not met."""
    points = known.points
    assert len({(point.feature, point.corner) for point in points}) == len(points)
    every = {name: 1 for point in points for name in point.bins}
    assert known.unmet({}) == list(points)
    assert known.unmet(every) == []
    assert [point.corner for point in known.unmet(every | {"flag.sticky": 0})] == [
        "a flag outlives words that do not saturate"
    ]


def test_missing_simulator_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Not a traceback but what to type."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sudo apt-get install iverilog"):
        verify(quick=True)


def test_struct_packs_first_field_lowest() -> None:
    """Lane 0 and the first field stand in the least significant bits, and printing them is undone by `unpack`."""
    struct = Struct((Field("a", 3), Field("b", 2, signed=True)))
    values = {"a": np.array([[5, 1]]), "b": np.array([[-1, 1]])}
    assert struct.pack(values) == [0b01_001_11_101]
    assert struct.text(values) == ["0100111101"]
    assert struct.unpack("0100111101") == [{"a": 5, "b": -1}, {"a": 1, "b": 1}]
    assert struct.unpack("x100111101")[1]["b"] == "x1"
    assert struct.one({"a": 5, "b": -1}) == 0b11_101
    assert contract("nmpu").ports(NmpuConfig()).input.names == ("first", "second", "received", "residual")


@every_unit
def test_scenarios_follow_the_seed_and_hold_what_they_promise(known: Contract) -> None:
    """The same seed gives the same words; random words reach the number asked for."""
    config = known.case(known.traced).config
    one, same, other = (list(scenarios(known, config, seed, 100, 4)) for seed in (0, 0, 1))
    for left, right in zip(one, same, strict=True):
        np.testing.assert_equal(dict(left.stimulus.words), dict(right.stimulus.words))
        np.testing.assert_equal(dict(left.stimulus.columns), dict(right.stimulus.columns))
        assert (left.load, left.source, left.sink) == (right.load, right.source, right.sink)
    name = known.ports(config).input.names[0]
    assert not all(
        np.array_equal(left.stimulus.words[name], right.stimulus.words[name])
        for left, right in zip(one, other, strict=False)
    )
    assert sum(s.stimulus.vectors * known.ports(config).columns for s in one if not s.corner) >= 100
    assert any(s.reset_after is not None for s in one)


@pytest.mark.parametrize("stall", Stall)
def test_stalls_end(stall: Stall) -> None:
    """Every pattern takes part at some time."""
    assert any(stall.pattern(np.random.default_rng(0)))


def test_checker_tells_a_wrong_word_a_lost_flag_and_a_false_idle() -> None:
    """Without any hardware: the three judgements of the checker."""
    known = contract("nmpu")
    checker = Checker(known, known.case("single_1x1").config)
    checker.state("0", "1")
    with pytest.raises(Mismatch, match="idle is 0"):
        checker.state("0", "0")
    with pytest.raises(Mismatch, match="no word is in the unit"):
        checker.compare("00000001")
    checker.expect([("00000001", 1)])
    checker.accept(1)
    with pytest.raises(Mismatch, match=r"got .*2.*golden model says .*1"):
        checker.compare("00000010")
    with pytest.raises(Mismatch, match="unknown: word 0"):
        checker.compare("0000000x")
    checker.state("0", "0")
    checker.state("1", "0")
    checker.deliver()
    with pytest.raises(Mismatch, match="must hold 1"):
        checker.state("0", "1")
