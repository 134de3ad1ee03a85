"""pytest runner of the benches: the whole regression of each unit once, judged configuration by configuration."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from cocotb_tests.contract import Point
from cocotb_tests.icarus import missing
from cocotb_tests.regression import Summary, verify
from cocotb_tests.units import CONTRACTS, contract
from golden_model.errors import UserError

pytestmark = [
    pytest.mark.simulator,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


@cache
def summary(unit: str) -> Summary:
    """Run the regression of a unit, once."""
    return verify(unit)


LONG = ("scale_array",)
"""Units whose whole regression takes minutes: `make regress` runs it, every day has the quick one."""


def marks(unit: str) -> list[pytest.MarkDecorator]:
    """Return what a test of a unit's whole regression is marked with."""
    return [pytest.mark.slow] if unit in LONG else []


UNITS = [pytest.param(unit, marks=marks(unit)) for unit in CONTRACTS]
CASES = [
    pytest.param(known.unit, entry.name, marks=marks(known.unit))
    for known in CONTRACTS.values()
    for entry in known.cases
]
POINTS = [
    pytest.param(known.unit, point, id=f"{known.unit}: {point.feature}: {point.corner}", marks=marks(known.unit))
    for known in CONTRACTS.values()
    for point in known.points
]


@pytest.mark.parametrize(("unit", "name"), CASES)
def test_configuration_matches_the_golden_model(unit: str, name: str) -> None:
    """Every word of every batch, the flags, `idle` and the stream protocol: nothing differs."""
    row = next(row for row in summary(unit).rows if row.name == name)
    assert not row.mismatches
    assert row.words >= 1000 and row.corners > 0 and row.resets > 0


@pytest.mark.parametrize(("unit", "point"), POINTS)
def test_point_of_the_plan_is_met(unit: str, point: Point) -> None:
    """Every cover bin of the test plan was hit."""
    assert point not in contract(unit).unmet(summary(unit).bins)


@pytest.mark.parametrize("unit", LONG)
def test_quick_run_matches_the_golden_model(unit: str) -> None:
    """Some configurations, fewer words, every check on."""
    summary = verify(unit, quick=True)
    assert summary.passed and all(row.words > 300 and row.corners > 0 and row.resets > 0 for row in summary.rows)


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_is_counted_that_the_plan_does_not_ask_for(unit: str) -> None:
    """A bin without a point of the plan is a corner that nobody would miss."""
    asked = {name for point in contract(unit).points for name in point.bins}
    assert set(summary(unit).bins) <= asked


@pytest.mark.parametrize("unit", UNITS)
def test_regression_is_as_large_as_stated(unit: str) -> None:
    """10,000 random words in all."""
    assert sum(row.words for row in summary(unit).rows) >= 10_000


@pytest.mark.parametrize("suffix", [".vcd", ".fst"])
def test_trace_opens_in_a_wave_viewer(tmp_path: Path, suffix: str) -> None:
    """A VCD has a header, the ports among its variables, and value changes behind it; an FST starts with its header."""
    trace = tmp_path / f"a trace{suffix}"
    assert verify(quick=True, waves=trace).passed
    if suffix == ".fst":  # block type 0, then its length, 329 bytes, big end first
        assert trace.read_bytes()[:9] == b"\0" + (329).to_bytes(8, "big")
        return
    header, found, changes = trace.read_text().partition("$enddefinitions $end")
    codes = dict(re.findall(r"\$var \w+ \d+ (\S+) (\S+) .*?\$end", header))
    assert found and {"clk", "i__valid", "o__payload", "flags", "idle"} <= set(codes.values())
    clock = next(code for code, name in codes.items() if name == "clk")
    times = [int(time) for time in re.findall(r"^#(\d+)$", changes, re.MULTILINE)]
    assert times == sorted(set(times)) and len(times) > 100
    assert len(re.findall(rf"^[01]{re.escape(clock)}$", changes, re.MULTILINE)) > 100
    assert {token[1:] for token in re.findall(r"^[01xz]\S+$", changes, re.MULTILINE)} <= set(codes)


@pytest.mark.parametrize("name", ["trace.txt", "no/such/folder/trace.vcd"])
def test_trace_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is built."""
    with pytest.raises(UserError, match="--waves"):
        verify(quick=True, waves=tmp_path / name)


def test_unknown_unit_is_refused() -> None:
    """With the units that there are, and the one that was meant."""
    with pytest.raises(UserError, match=r"^unit 'adder': the regression knows nmpu, fp16_unit, scale_array$"):
        verify("adder", quick=True)
    with pytest.raises(UserError, match=r"^unit 'fp16_unti': .*, did you mean fp16_unit\?$"):
        verify("fp16_unti", quick=True)
