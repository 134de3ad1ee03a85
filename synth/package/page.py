"""The register map on the documentation's page, written anew by `python -m synth.package.page`."""

from __future__ import annotations

from pathlib import Path

from synth.package.describe import access_legend, register_table
from synth.package.design import registers
from synth.registry import UNITS
from synth.tables import between, rewrite

PAGE = Path(__file__).resolve().parents[2] / "docs" / "package.md"


def regenerated(page: str) -> str:
    """Return the page with the default configurations' registers between its markers; UserError without markers."""
    for unit in (unit for unit in UNITS.values() if unit.hosted):
        of = registers(unit, unit.config())
        page = between(page, unit.name, f"{of.size} bytes. {access_legend()}\n\n{register_table(of)}\n")
    return page


def main() -> None:
    """Write the tables of the page."""
    rewrite(PAGE, regenerated)


if __name__ == "__main__":
    main()
