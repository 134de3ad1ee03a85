"""The bench is judged by the faults that it notices: single bits drawn by Yosys, and faults with a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from cocotb_tests.campaign import Fate, Verdicts, hunt_all, hunt_planted, print_verdicts
from cocotb_tests.icarus import missing
from cocotb_tests.units import CONTRACTS, contract
from synth.equivalence import Verdict, compare
from synth.mutation import Netlist, Part, draw
from synth.verilog import elaborate

CAUGHT_SHARE, ASIDE_SHARE = 0.95, 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def found(folder: Path) -> list[Verdicts]:
    return hunt_all("nmpu", folder)


def judge(found: list[Verdicts]) -> None:
    for verdicts in found:
        assert verdicts.sound, f"{verdicts.target.case}: the netlist without a fault fails the bench"
        drawn, equal, aside = len(verdicts.faults), verdicts.count(Fate.EQUAL), verdicts.count(Fate.EXCUSED)
        assert aside <= ASIDE_SHARE * drawn
        assert verdicts.count(Fate.CAUGHT) >= CAUGHT_SHARE * (drawn - equal - aside), [
            str(fault) for fault in verdicts.survivors
        ]


@pytest.mark.simulator
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
class TestDrawnFaults:
    def test_sound_unit_passes_and_nearly_every_fault_is_caught(
        self, found: list[Verdicts], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with capsys.disabled():
            print_verdicts(found, Console(width=120))
        judge(found)

    def test_two_hundred_faults_of_every_class_and_none_on_a_clock(self, found: list[Verdicts]) -> None:
        faults = [fault for verdicts in found for fault in verdicts.faults]
        assert len(faults) >= 200
        assert {fault.part for fault in faults} == set(Part)
        assert not any(fault.port.startswith("CLK") for fault in faults)

    def test_a_caught_fault_is_never_proved_equal(self, found: list[Verdicts], folder: Path) -> None:
        for verdicts in found:
            caught = [fault for fault in verdicts.faults if verdicts.fates[fault.number] is Fate.CAUGHT][::12]
            told = compare(caught, folder / verdicts.target.case)
            assert set(told.values()) <= {Verdict.DIFFERENT, Verdict.OPEN}
            assert len(told) == len(caught)

    def test_the_same_faults_are_drawn_again(self, found: list[Verdicts], tmp_path: Path) -> None:
        target = found[-1].target
        config = contract("nmpu").case(target.case).config
        again = draw(elaborate("nmpu", config), dict(target.quotas), tmp_path)
        assert tuple(again) == found[-1].faults


@pytest.mark.simulator
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("unit", ["nmpu", *(pytest.param(u, marks=pytest.mark.slow) for u in CONTRACTS if u != "nmpu")])
def test_every_planted_fault_and_every_misreading_is_caught(unit: str, tmp_path: Path) -> None:
    caught = hunt_planted(unit, tmp_path)
    assert len(caught) > 50
    assert [name for name, kind in caught.items() if not kind or name.startswith("no fault")] == []


@pytest.mark.slow
@pytest.mark.simulator
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize(("unit", "factor"), [("nmpu", 5), ("fp16_unit", 1), ("scale_array", 1)])
def test_a_larger_draw(unit: str, factor: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = hunt_all(unit, tmp_path, factor)
    with capsys.disabled():
        print_verdicts(found, Console(width=120))
    judge(found)


def cell(kind: str, **connections: tuple[str, list[int | str]]) -> dict[str, object]:
    return {
        "type": kind,
        "port_directions": {port: "output" if way == "o" else "input" for port, (way, _) in connections.items()},
        "connections": {port: bits for port, (_, bits) in connections.items()},
    }


SMALL = {
    "ports": {
        "rst": {"direction": "input", "bits": [2]},
        "i__valid": {"direction": "input", "bits": [3]},
        "i__payload": {"direction": "input", "bits": [4, 5]},
        "write__data": {"direction": "input", "bits": [6]},
        "o__valid": {"direction": "output", "bits": [10]},
        "o__payload": {"direction": "output", "bits": [20]},
        "flags": {"direction": "output", "bits": [30]},
    },
    "cells": {
        "valid": cell("$dff", D=("i", [3]), Q=("o", [10]), CLK=("i", [1])),
        "number": cell("$dff", D=("i", [10]), Q=("o", [11]), CLK=("i", [1])),
        "held": cell("$dff", D=("i", [6]), Q=("o", [12]), CLK=("i", [1])),
        "sum": cell("$add", A=("i", [4, 5]), B=("i", [12, "0"]), Y=("o", [13, 14])),
        "stage": cell("$dff", D=("i", [13, 14]), Q=("o", [15, 16]), CLK=("i", [1])),
        "word": cell("$and", A=("i", [15]), B=("i", [11]), Y=("o", [20])),
        "raise": cell("$not", A=("i", [15]), Y=("o", [30])),
    },
}


def test_classes_are_read_off_the_structure() -> None:
    parts = Netlist(SMALL).parts()
    assert {name: part for name, part in parts.items() if part is not Part.DATAPATH} == {
        "valid": Part.CONTROL,
        "number": Part.CONTROL,
        "held": Part.STORE,
        "raise": Part.FLAGS,
    }
    assert Netlist(SMALL).followers() == {"number"}


def test_dead_bits_are_found_through_carries() -> None:
    live = Netlist(SMALL).live()
    assert {15, 13, 4, 12} <= live, "bit 0 of the sum decides the word"
    assert not {16, 14, 5} & live, "bit 1 of the sum decides nothing, and carries go up only"


@pytest.mark.parametrize(("low", "decides"), [("0", False), ("1", True), (6, True)])
def test_a_bit_beside_a_constant_zero_carries_nothing(low: int | str, decides: bool) -> None:
    module = {
        "ports": {
            "i__payload": {"direction": "input", "bits": [4, 5, 6, 7]},
            "o__payload": {"direction": "output", "bits": [14]},
        },
        "cells": {"sum": cell("$add", A=("i", [4, 5]), B=("i", [low, 7]), Y=("o", [13, 14]))},
    }
    live = Netlist(module).live()
    assert {5, 7} <= live and (4 in live) is decides
    module["cells"] = {"sum": cell("$add", A=("i", [4]), B=("i", ["0", 7]), Y=("o", [13, 14]))}
    assert 4 in Netlist(module).live(), "the sign of a short operand is in every bit above it"
