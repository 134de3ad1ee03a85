"""The test plans as tables: `python -m cocotb_tests.plan FILE` writes each unit's into the page that shows it.

A point is met when every one of its bins was counted at least once over the regression; a point that is not met fails
the regression.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cocotb_tests.contract import Contract
from cocotb_tests.units import CONTRACTS


def table(contract: Contract) -> str:
    """Return the plan of a unit as a table."""
    lines = ["| feature | corner | bins |", "|---|---|---|"]
    for point in contract.points:
        bins = ", ".join(f"`{name}`" for name in point.bins)
        lines.append(f"| {point.feature} | {point.corner} | {bins} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the text of a page with the tables between their markers brought up to date."""
    for unit, contract in CONTRACTS.items():
        begin, end = f"<!-- plan {unit}: begin -->", f"<!-- plan {unit}: end -->"
        before, found, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if found:
            text = f"{before}{begin}\n{table(contract)}\n{end}{after}"
    return text


if __name__ == "__main__":
    shown = Path(sys.argv[1])
    shown.write_text(page(shown.read_text()))
