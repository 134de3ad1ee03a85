"""Tables of a unit's ports and latency, generated from the unit: in its Verilog's header and on its page.

`python -m synth.tables` writes them anew into docs/units/*.md, between the markers; a test fails where they drifted.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from amaranth.hdl import Shape
from amaranth.lib import data, wiring

from golden_model.errors import UserError
from synth.registry import UNITS, Unit

PAGES = Path(__file__).resolve().parents[1] / "docs" / "units"


_HANDSHAKE = {"valid": "a word is offered", "ready": "it is taken in this cycle, if offered"}


class Port(NamedTuple):
    """One Verilog port."""

    name: str
    """As in Verilog: `i__payload`."""
    direction: str
    """`input` or `output`."""
    width: int
    """Width in bits."""
    fields: str
    """Bit fields, where the port has any: `64 x (first [11:0], second [23:12])`, lane 0 lowest."""
    meaning: str
    """What it carries."""


def ports(unit: Unit, config: Any) -> list[Port]:
    """Return every port of the Verilog module, `clk` and `rst` first."""
    rows = [
        Port("clk", "input", 1, "", "clock, rising edge"),
        Port("rst", "input", 1, "", "synchronous reset of control and flags"),
    ]
    for name, member in unit.members(config).items():
        rows += _flatten(unit, (name,), member)
    return rows


def _flatten(unit: Unit, path: tuple[str, ...], member: Any) -> Iterator[Port]:
    """Return the ports of one member of a signature; Amaranth has turned what lies inside an input around already."""
    if member.is_signature:
        for name, inner in member.signature.members.items():
            yield from _flatten(unit, (*path, name), inner)
        return
    meaning = _HANDSHAKE.get(path[-1]) or unit.meanings[path[0] if path[-1] == "payload" else ".".join(path)]
    direction = "output" if member.flow == wiring.Out else "input"
    yield Port("__".join(path), direction, Shape.cast(member.shape).width, _fields(member.shape), meaning)


def _fields(shape: Any) -> str:
    """Return the bit fields of a layout; signed fields are marked."""
    if isinstance(shape, data.ArrayLayout):
        return f"{shape.length} x ({_fields(shape.elem_shape)})"
    if not isinstance(shape, data.StructLayout):
        return ""
    parts = []
    for name, field in shape:
        inner = Shape.cast(field.shape)
        bits = f"{field.offset + inner.width - 1}:{field.offset}" if inner.width > 1 else f"{field.offset}"
        parts.append(f"{name} [{bits}]{' signed' if inner.signed else ''}")
    return ", ".join(parts)


def configuration(config: Any) -> list[str]:
    """Return a configuration as lines of TOML."""
    lines = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        plain = str(value).lower() if isinstance(value, bool) else value if isinstance(value, int) else None
        named = value.value if isinstance(value, Enum) else value
        lines.append(f"{field.name} = {json.dumps(str(named)) if plain is None else plain}")
    return lines


def port_table(unit: Unit) -> str:
    """Return the Markdown table of the default configuration's ports."""
    lines = ["| port | direction | bits | fields | meaning |", "|---|---|---|---|---|"]
    for port in ports(unit, unit.config()):
        fields = re.sub(r"(\w+) (\[[\d:]+\])", r"`\1` \2", port.fields)
        lines.append(f"| `{port.name}` | {port.direction} | {port.width} | {fields} | {port.meaning} |")
    return "\n".join(lines)


def field_table(unit: Unit) -> str:
    """Return the Markdown table of the fields of the streams' lanes."""
    rows = [(name, meaning) for name, meaning in unit.meanings.items() if name[:2] in ("i.", "o.")]
    return "\n".join(["| field | meaning |", "|---|---|", *(f"| `{name}` | {meaning} |" for name, meaning in rows)])


def latency_table(unit: Unit, configs: dict[str, Any]) -> str:
    """Return the Markdown table of every stage's latency in several configurations; a stage that is not there: `-`."""
    columns = {title: {name: latency for name, _, latency in unit.stages(c)} for title, c in configs.items()}
    names: list[str] = max((list(column) for column in columns.values()), key=len)
    for column in columns.values():
        for before, name in pairwise(column):
            if name not in names:
                names.insert(names.index(before) + 1, name)
    lines = [f"| stage | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        lines.append(f"| {name} | {' | '.join(str(column.get(name, '-')) for column in columns.values())} |")
    totals = (f"**{unit.latency(config)}**" for config in configs.values())
    return "\n".join([*lines, f"| **cycles** | {' | '.join(totals)} |"])


def tables(unit: Unit) -> dict[str, str]:
    """Return the tables of a unit's page by the name in their markers."""
    return {"ports": port_table(unit), "fields": field_table(unit), "latency": latency_table(unit, dict(unit.shown))}


def regenerated(unit: Unit, page: str) -> str:
    """Return a page with the text between `<!-- NAME: generated -->` and `<!-- end -->` written anew."""
    for name, table in tables(unit).items():
        page = between(page, name, table + "\n")
    return page


def between(page: str, name: str, text: str) -> str:
    """Return a page with other text between the markers of a name; UserError without markers."""
    found = re.search(rf"<!-- {name}: [^\n]*-->\n(.*?)<!-- end -->", page, re.DOTALL)
    if found is None:
        raise UserError(f"the page has no markers for its {name}: <!-- {name}: generated --> ... end")
    return page[: found.start(1)] + text + page[found.end(1) :]


def rewrite(page: Path, regenerate: Callable[[str], str]) -> None:
    """Write a page anew, whole, and print its name."""
    text = regenerate(page.read_text(encoding="utf-8"))
    temporary = page.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, page)
    print(page)


def main() -> None:
    """Write the tables of every unit that has a page."""
    for unit in UNITS.values():
        rewrite(PAGES / f"{unit.name}.md", partial(regenerated, unit))


if __name__ == "__main__":
    main()
