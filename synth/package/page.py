"""The register map on the documentation's page, written anew by `python -m synth.package.page`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from golden_model.errors import UserError
from synth.package.describe import access_legend, register_table
from synth.package.design import registers
from synth.registry import UNITS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "package.md"


def regenerated(page: str) -> str:
    """Return the page with the default configurations' registers between its markers; UserError without markers."""
    for unit in (unit for unit in UNITS.values() if unit.hosted):
        of = registers(unit, unit.config())
        table = f"{of.size} bytes. {access_legend()}\n\n{register_table(of)}\n"
        pattern = re.compile(rf"(<!-- {unit.name}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(page):
            raise UserError(f"the page has no markers for {unit.name}: <!-- {unit.name}: generated --> ... end")
        page = pattern.sub(lambda found, table=table: f"{found[1]}{table}{found[2]}", page)  # type: ignore[misc]  # bound now
    return page


def main() -> None:
    """Write the tables of the page."""
    text = regenerated(PAGE.read_text(encoding="utf-8"))
    temporary = PAGE.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, PAGE)
    print(PAGE)


if __name__ == "__main__":
    main()
