"""Cell libraries of the user: Liberty files, plain or compressed, read just far enough to map onto them.

Several files make one library (ASAP7 comes as inverters, gates and flip-flops apart). They are merged into one text,
since Yosys 0.23 keeps only the last of several, and without current-source tables, which neither ABC nor OpenSTA's
delay calculation needs and which are most of such a file.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from golden_model.errors import UserError

_OPENERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\xfd7zXZ": lzma.decompress,
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
}
"""Decompressor by the first bytes of a file: its name says nothing for sure."""
_TABLES = re.compile(r"output_current|receiver_capacitance|ccsn?_|normalized_driver_waveform|vector|dc_current")
_PICO = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
_FEMTO = {"ff": 1.0, "pf": 1e3, "nf": 1e6}


class Kind(Enum):
    """What a cell does."""

    GATE = "gate"
    """Combinational; buffers and inverters as well."""
    FLOP = "flip-flop"
    """Edge-triggered storage."""
    LATCH = "latch"
    """Level-sensitive storage; a clock gate counts as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a library."""

    name: str
    """Its name."""
    kind: Kind
    """What it does."""
    area: float
    """As the library says; Liberty has no unit of area, by custom it is um2."""
    clock: str
    """Clock pin of a flip-flop, else empty."""
    inputs: tuple[str, ...]
    """Its input pins, the clock among them."""
    outputs: tuple[str, ...]
    """Its output pins."""
    buffered: str
    """Input pin whose value a buffer repeats at its only output, empty for every other cell."""
    load: float
    """Largest capacitance of an input pin, fF."""
    drives: float
    """Largest capacitance that its weakest output may drive, fF; 0 where the library does not say."""
    gates_clock: bool = False
    """Whether it is an integrated clock gate for flip-flops of the rising edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A cell library: the cells, and the merged text that the tools read."""

    name: str
    """Names of the libraries that it was merged from."""
    text: str
    """One Liberty text."""
    cells: dict[str, Cell]
    """Cells by name."""
    time_ps: float
    """The library's unit of time, in ps."""
    load_ff: float
    """The library's unit of capacitance, in fF."""

    @property
    def driver(self) -> Cell:
        """Return the buffer assumed in front of every input and behind every output.

        The smallest that drives at least twice what the weakest buffer may: one step above the least, in any library
        (a delay cell, which is a buffer by function, is the least).
        """
        buffers = sorted((c for c in self.cells.values() if c.buffered), key=lambda c: (c.area, c.name))
        least = min(buffer.drives for buffer in buffers)
        return next((buffer for buffer in buffers if buffer.drives >= 2 * least), buffers[-1])

    @property
    def has_clock_gate(self) -> bool:
        """Return whether there is an integrated clock gate for flip-flops of the rising edge."""
        return any(cell.gates_clock for cell in self.cells.values())

    @property
    def larger_flops(self) -> list[str]:
        """Return the flip-flops that do no more than the smallest one, but are larger.

        Yosys takes the first that needs no inverter, which may be a strong one: ASAP7's is 1.25 times the smallest.
        """
        flops = [cell for cell in self.cells.values() if cell.kind is Kind.FLOP]
        least = min(flops, key=lambda cell: (cell.area, cell.name))
        return [cell.name for cell in flops if cell.area > least.area and len(cell.inputs) <= len(least.inputs)]


def read(paths: Sequence[Path]) -> Library:
    """Return the library of one or more Liberty files, plain or compressed by xz, gzip or bzip2.

    Raises UserError for a file that cannot be read or is no Liberty file, for files whose units differ, and for a
    library on which nothing can be mapped: one without flip-flops, or without buffers.
    """
    if not paths:
        raise UserError("a library is one or more Liberty files; none was given")
    merged: list[str] = []
    names: list[str] = []
    cells: dict[str, Cell] = {}
    templates: dict[str, str] = {}
    units: set[tuple[float, float]] = set()
    for number, path in enumerate(paths):
        library = parse(path, _text(path))
        names.append(library.name)
        units.add((_unit(library, "time_unit", _PICO, path), _unit(library, "capacitive_load_unit", _FEMTO, path)))
        if len(units) > 1:
            raise UserError(f"{path}: its unit of time or capacitance differs from the other files' of this library")
        body = library.without_tables()
        for template in library.named("lu_table_template", "power_lut_template"):
            if templates.setdefault(template.name, template.plain) != template.plain:
                # the same name for another table elsewhere: this file's gets a name of its own
                body = re.sub(rf"\(\s*\"?{re.escape(template.name)}\"?\s*\)", f"({template.name}_{number})", body)
        for group in library.named("cell"):
            cell = _cell(group, units)
            if cells.setdefault(cell.name, cell) != cell:
                raise UserError(f"{path}: cell {cell.name} stands in another file of this library as well, differently")
        merged.append(body if not merged else _cells_and_templates(body, path))
    if not any(cell.kind is Kind.FLOP for cell in cells.values()):
        raise UserError(f"{_list(paths)}: no flip-flop in it; add the library's file of sequential cells")
    if not any(cell.buffered for cell in cells.values()):
        raise UserError(f"{_list(paths)}: no buffer in it; add the library's file of buffers and inverters")
    text = merged[0].rstrip().removesuffix("}") + "\n".join(merged[1:]) + "\n}\n"
    (time_ps, load_ff) = units.pop()
    return Library(name=" + ".join(names), text=text, cells=cells, time_ps=time_ps, load_ff=load_ff)


def _list(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


def _text(path: Path) -> str:
    """Return the text of a file, without comments."""
    try:
        raw = path.read_bytes()
        for magic, opener in _OPENERS.items():
            if raw.startswith(magic):
                raw = opener(raw)
        text = raw.decode("utf-8", errors="strict")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a Liberty file, nor a compressed one: {error}") from error
    return re.sub(r"/\*.*?\*/|^\s*//[^\n]*", " ", text, flags=re.DOTALL | re.MULTILINE)


@dataclass(slots=True)
class Group:
    """`kind (name) { ... }` of a Liberty text: from `start` (its head) to `end`, what is inside in `inside`."""

    source: str
    kind: str
    name: str
    start: int
    open: int
    end: int
    inside: list[Group]

    @property
    def plain(self) -> str:
        """The text between the braces without spaces, for comparisons."""
        return re.sub(r"\s+", "", self.source[self.open : self.end])

    def named(self, *kinds: str) -> Iterator[Group]:
        """The groups of some kinds directly inside."""
        return (group for group in self.inside if group.kind in kinds)

    def attribute(self, name: str) -> str:
        """A simple attribute (`name : value;`) of the group itself, empty where it has none."""
        at = self.open
        for group in [*self.inside, None]:
            found = re.search(
                rf"\b{name}\s*:\s*\"?([^;\"\n]*)\"?\s*;?", self.source[at : group.start if group else self.end]
            )
            if found:
                return found.group(1).strip()
            at = group.end if group else at
        return ""

    def without_tables(self) -> str:
        """The group's text without current-source tables."""
        dropped: list[tuple[int, int]] = []

        def search(group: Group) -> None:
            for each in group.inside:
                if _TABLES.match(each.kind):
                    dropped.append((each.start, each.end))
                else:
                    search(each)

        search(self)
        kept, at = [], self.start
        for start, end in dropped:
            kept.append(self.source[at:start])
            at = end
        return "".join(kept) + self.source[at : self.end]


_HEAD = re.compile(r"([A-Za-z_]\w*)\s*\(\s*\"?([^()\"]*?)\"?\s*(?:,[^()]*)?\)\s*$")


def parse(path: Path, text: str) -> Group:
    """Return the one group that a Liberty text is."""
    top = Group(text, "", "", 0, 0, len(text), [])
    stack = [top]
    after = 0
    for brace in re.finditer(r"[{}]", text):
        if brace.group() == "{":
            head = _HEAD.search(text, max(after, brace.start() - 400), brace.start())
            if head is None:
                break
            group = Group(text, head.group(1), head.group(2), head.start(), brace.end(), -1, [])
            stack[-1].inside.append(group)
            stack.append(group)
        elif len(stack) > 1:
            stack.pop().end = brace.end()
        else:
            break
        after = brace.end()
    libraries = [group for group in top.inside if group.kind == "library" and group.end > 0]
    if len(stack) != 1 or len(libraries) != 1:
        raise UserError(f"{path} is not a Liberty file: it must be one `library (name) {{ ... }}` with balanced braces")
    return libraries[0]


def _unit(library: Group, name: str, scales: dict[str, float], path: Path) -> float:
    """Return a unit of the library in ps or fF."""
    told = library.attribute(name)
    if not told:
        found = re.search(rf"\b{name}\s*\(([^)]*)\)", library.source[library.open : library.open + 20000])
        told = found.group(1) if found else {"time_unit": "1ns"}.get(name, "1pf")  # what the format assumes
    parts = re.fullmatch(r"([\d.eE+-]+)[\s,]*([A-Za-z]+)", told.strip())
    if parts is None or parts.group(2).lower() not in scales:
        raise UserError(f"{path}: {name} {told!r} is none that is known; known are {', '.join(scales)}")
    return float(parts.group(1)) * scales[parts.group(2).lower()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _cell(group: Group, units: set[tuple[float, float]]) -> Cell:
    """Return what is used of a cell."""
    ((_, load_ff),) = units
    pins = [*group.named("pin"), *(pin for bus in group.named("bus", "bundle") for pin in bus.named("pin"))]
    outputs = [pin for pin in pins if pin.attribute("direction") == "output"]
    inputs = [pin for pin in pins if pin.attribute("direction") == "input"]
    flops = list(group.named("ff", "ff_bank"))
    kind = Kind.FLOP if flops else Kind.LATCH if [*group.named("latch", "latch_bank", "statetable")] else Kind.GATE
    function = re.sub(r"[\s()]", "", outputs[0].attribute("function")) if len(outputs) == 1 else ""
    repeats = len(inputs) == 1 and function == inputs[0].name and kind is Kind.GATE
    repeats = repeats and group.attribute("dont_use") != "true"
    clock = re.sub(r"[\s()!']", "", flops[0].attribute("clocked_on")) if flops else ""
    return Cell(
        name=group.name,
        kind=kind,
        area=_number(group.attribute("area")),
        clock=clock,
        inputs=tuple(pin.name for pin in inputs),
        outputs=tuple(pin.name for pin in outputs),
        buffered=function if repeats else "",
        load=load_ff * max((_number(pin.attribute("capacitance")) for pin in inputs), default=0.0),
        drives=load_ff * min((_number(pin.attribute("max_capacitance")) for pin in outputs), default=0.0),
        gates_clock=group.attribute("clock_gating_integrated_cell").startswith("latch_posedge"),
    )


def _cells_and_templates(body: str, path: Path) -> str:
    """Return the templates and cells of one file's text, to stand in another's library."""
    groups = parse(path, body).named("lu_table_template", "power_lut_template", "cell")
    return "\n".join(group.source[group.start : group.end] for group in groups)
