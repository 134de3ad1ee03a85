"""A unit's Verilog inside a module with one port for every field of every lane, and the C++ that moves arrays there.

Words of all lanes are thousands of bits wide. A compiled model that slices them lane by lane takes time that grows with
the square of the lanes; with a port a field, it holds no number wider than the flags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from amaranth.hdl import Shape
from amaranth.lib import data

from synth.registry import unit as find_unit
from synth.tables import Port, ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a word, of a column's parameters or of the layer registers."""

    name: str
    bits: int
    signed: bool


def _fields(layout: Any) -> tuple[Field, ...]:
    """Return the fields of a struct, or of a lane's struct, lowest bits first."""
    if isinstance(layout, data.ArrayLayout):
        layout = layout.elem_shape
    shapes = {name: Shape.cast(field.shape) for name, field in layout}
    return tuple(Field(name=name, bits=shape.width, signed=shape.signed) for name, shape in shapes.items())


class Harness:
    """The harness of a unit of the registry: `fields` by packed port, `verilog`, `moves`, and the `ports` it has."""

    TOP = "harness"
    PACKED: ClassVar = {"i__payload": "i", "o__payload": "o", "write__data": "write", "layer__data": "layer"}
    """Ports that fall apart into their fields, and how those are called."""

    def __init__(self, unit: str, config: Any) -> None:
        found = find_unit(unit)
        members = found.members(config)
        self.unit, self.units = unit, config.units
        self.inner = ports(found, config)
        self.fields: dict[str, tuple[Field, ...]] = {"layer": ()}
        for port in self.inner:
            if port.name in self.PACKED:
                name, member = port.name.split("__")
                self.fields[name] = _fields(members[name].signature.members[member].shape)

    def _split(self, port: Port) -> Iterator[tuple[str, int]]:
        """Return name and width of the harness's ports that make one of the unit's, lowest bits first."""
        if port.name not in self.PACKED:
            yield port.name, port.width
            return
        kind = self.PACKED[port.name]
        for lane in range(self.units if kind in "io" else 1):
            for field in self.fields[kind]:
                yield f"{kind}_{field.name}_{lane}", field.bits

    @property
    def ports(self) -> tuple[str, ...]:
        """Return the names of the harness's ports."""
        return tuple(name for port in self.inner for name, _ in self._split(port))

    @property
    def verilog(self) -> str:
        """Return the module around the unit."""
        declared, connected = [], []
        for port in self.inner:
            parts = list(self._split(port))
            declared += [f"  {port.direction} [{width - 1}:0] {name}" for name, width in parts]
            connected.append(f"    .{port.name}({{{', '.join(name for name, _ in reversed(parts))}}})")
        joined = ",\n"
        return (
            f"module {self.TOP}(\n{joined.join(declared)}\n);\n"
            f"  {self.unit} unit(\n{joined.join(connected)}\n  );\nendmodule\n"
        )

    @property
    def packing(self) -> str:
        """Return the C++ functions of `moves` for the unit's own ports, all lanes packed: what Verilator does best."""
        text = ""
        for kind, name, port, lanes in (
            ("i", "send", "i_payload", self.units),
            ("write", "write", "write_data", 1),
            ("layer", "layer", "layer_data", 1),
            ("o", "take", "o_payload", self.units),
        ):
            fields = self.fields[kind]
            place, words = 0, [list[str]() for _ in range(-(-lanes * sum(field.bits for field in fields) // 32))]
            taken = []
            for lane in range(lanes):
                for n, field in enumerate(fields):
                    (word, shift), there = divmod(place, 32), _from(n, lane, lanes)
                    place += field.bits
                    low = f"bits[{word}] >> {shift}"
                    words[word].append(f"({there} & {(1 << field.bits) - 1:#x}u) << {shift}")
                    if shift + field.bits > 32:
                        low += f" | bits[{word + 1}] << {32 - shift}"
                        words[word + 1].append(f"({there} & {(1 << field.bits) - 1:#x}u) >> {32 - shift}")
                    taken.append(f"  {there} = {_number(low, field)};")
            lines = [f"  uint32_t bits[{len(words) + 1}];"]
            if kind == "o":
                lines += [f"  copy(PORT_{port}, bits, {place});", *taken]
            else:
                lines += [f"  bits[{n}] = {' | '.join(parts)};" for n, parts in enumerate(words)]
                lines += [f"  put(PORT_{port}, bits, {place});"]
            text += _function(name, lines if fields else [])
        return text

    @property
    def moves(self) -> str:
        """Return C++ functions that set and read the ports of a row of arrays, one array a field.

        `send` and `take` for a word's lanes, `write` for a column's parameters, `layer` for the layer registers.
        """
        text = ""
        for kind, name, lanes in (("i", "send", self.units), ("write", "write", 1), ("layer", "layer", 1)):
            lines = [
                f"  set(PORT_{kind}_{field.name}_{lane}, {_from(n, lane, lanes)} & {(1 << field.bits) - 1:#x}u);"
                for n, field in enumerate(self.fields[kind])
                for lane in range(lanes)
            ]
            text += _function(name, lines)
        lines = [
            f"  {_from(n, lane, self.units)} = {_number(f'get(PORT_o_{field.name}_{lane})', field)};"
            for n, field in enumerate(self.fields["o"])
            for lane in range(self.units)
        ]
        return text + _function("take", lines)


def _from(field: int, lane: int, lanes: int) -> str:
    return f"fields[{field}][row * {lanes} + {lane}]"


def _number(bits: str, field: Field) -> str:
    """Return the C++ number of a field that lies in the low bits of a uint32_t."""
    top = 1 << (field.bits - 1) if field.signed else 0
    return f"int32_t(((({bits}) & {(1 << field.bits) - 1:#x}u) ^ {top:#x}u) - {top:#x}u)"


def _function(name: str, lines: list[str]) -> str:
    body = "\n".join(lines)
    return f"static void {name}(Unit *unit, int32_t *const *fields, size_t row) {{\n{body}\n}}\n"
