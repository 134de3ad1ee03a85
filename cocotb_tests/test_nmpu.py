"""pytest runner of the NMPU's benches: the whole regression once, judged configuration by configuration."""

from __future__ import annotations

import pytest

from cocotb_tests.configurations import CASES
from cocotb_tests.icarus import missing
from cocotb_tests.plan import POINTS, Point, unmet
from cocotb_tests.regression import Summary, verify

pytestmark = [
    pytest.mark.simulator,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]


@pytest.fixture(scope="module")
def summary() -> Summary:
    """Run the regression."""
    return verify()


@pytest.mark.parametrize("name", [entry.name for entry in CASES])
def test_configuration_matches_the_golden_model(summary: Summary, name: str) -> None:
    """Every word of every batch, the flags, `idle` and the stream protocol: nothing differs."""
    row = next(row for row in summary.rows if row.name == name)
    assert not row.mismatches
    assert row.words >= 1000 and row.corners > 0 and row.resets > 0


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.feature}: {point.corner}")
def test_point_of_the_plan_is_met(summary: Summary, point: Point) -> None:
    """Every cover bin of the test plan was hit."""
    assert point not in unmet(summary.bins)


def test_nothing_is_counted_that_the_plan_does_not_ask_for(summary: Summary) -> None:
    """A bin without a point of the plan is a corner that nobody would miss."""
    asked = {name for point in POINTS for name in point.bins}
    assert set(summary.bins) <= asked


def test_regression_is_as_large_as_stated(summary: Summary) -> None:
    """10,000 random words in all."""
    assert sum(row.words for row in summary.rows) >= 10_000
