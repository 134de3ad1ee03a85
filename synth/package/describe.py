"""What a package says of its ports and registers: Markdown tables and a C header, from what the hardware is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import wiring

from hdl.apb import Access, RegisterMap
from hdl.apb.wrapper import signature
from synth.registry import Unit
from synth.tables import Port, ports

_BUS = {
    "psel": "this subordinate is spoken to",
    "penable": "access phase",
    "pwrite": "a write",
    "paddr": "byte address",
    "pwdata": "what is written",
    "pstrb": "bytes to write: all of them, or the write is an error; APB3 ties them to 1",
    "pready": "the transfer ends: 1 wait state, 2 for a parameter that is read",
    "prdata": "what was read; 0 at any other time",
    "pslverr": "the transfer did nothing",
}


def bus_ports(unit: Unit, config: Any, registers: RegisterMap) -> list[Port]:
    """Return the ports of the unit behind its bus, `clk` and `rst` first."""
    own = {port.name: port for port in ports(unit, config)}
    rows = [
        own["clk"]._replace(meaning="clock of bus and unit, PCLK; rising edge"),
        own["rst"]._replace(meaning="synchronous reset, the inverse of PRESETn"),
    ]
    for name, member in signature(registers.address_bits).members.items():
        direction = "input" if member.flow == wiring.Out else "output"  # the requester's output
        rows.append(Port(f"apb__{name}", direction, Shape.cast(member.shape).width, "", _BUS[name]))
    streams = [port for name, port in own.items() if name.startswith(("i__", "o__"))]
    return [
        *rows,
        *streams,
        own["idle"],
        Port("saturated", "output", 1, "", "some flag is up; a level, for an interrupt"),
    ]


def port_table(rows: Sequence[Port]) -> str:
    """Return ports as a Markdown table."""
    lines = ["| port | direction | bits | fields | meaning |", "|---|---|---|---|---|"]
    for port in rows:
        fields = re.sub(r"(\w+) (\[[\d:]+\])", r"`\1` \2", port.fields)
        lines.append(f"| `{port.name}` | {port.direction} | {port.width} | {fields} | {port.meaning} |")
    return "\n".join(lines)


def register_table(registers: RegisterMap) -> str:
    """Return the registers as a Markdown table."""
    lines = ["| address | register | access | bits | meaning |", "|---|---|---|---|---|"]
    for register in registers.registers:
        bits = ", ".join(f"`{field.name}` {field.span}{' signed' if field.signed else ''}" for field in register.fields)
        many = f"; n = 0 .. {register.count - 1}" if register.count > 1 else ""
        value = "" if register.value is None else f": 0x{register.value:08X}"
        access = register.access.value + (", idle" if register.when_idle else "")
        address = f"`{register.address}`{many}"
        lines.append(f"| {address} | `{register.name}` | {access} | {bits} | {register.meaning}{value} |")
    return "\n".join(lines)


def c_header(unit: Unit, registers: RegisterMap) -> str:
    """Return the registers as a C header: offsets, fields, and the values that identify this configuration."""
    prefix = unit.name.upper()
    lines = [
        f"/* Registers of {unit.name}_apb, byte offsets. Generated with its Verilog; README.md says what they do. */",
        f"#ifndef {prefix}_REGISTERS_H",
        f"#define {prefix}_REGISTERS_H",
        "",
        f"#define {prefix}_SIZE 0x{registers.size:X}u",
        "",
    ]
    for register in registers.registers:
        name = f"{prefix}_{register.name.upper()}"
        if register.count > 1 or register.offset >= registers.parameters:
            lines.append(f"#define {name}(n) (0x{register.offset:X}u + 0x{register.stride:X}u * (n))")
            lines.append(f"#define {name}_COUNT {register.count}u")
        else:
            lines.append(f"#define {name} 0x{register.offset:X}u")
        if register.value is not None:
            lines.append(f"#define {name}_VALUE 0x{register.value:X}u")
            continue
        for field in register.fields:
            own = name if field.name in ("code", "value") else f"{name}_{field.name.upper()}"
            lines.append(f"#define {own}_SHIFT {field.low}u")
            lines.append(f"#define {own}_MASK 0x{((1 << field.width) - 1) << field.low:X}u")
    lines += ["", f"#endif /* {prefix}_REGISTERS_H */", ""]
    return "\n".join(lines)


def access_legend() -> str:
    """Return what the table's abbreviations mean."""
    meanings = {
        Access.READ: "read, a write is an error",
        Access.WRITE: "read and write",
        Access.CLEAR: "read; a 1 that is written clears the bit",
    }
    known = "; ".join(f"{access.value}: {meaning}" for access, meaning in meanings.items())
    return f"{known}; idle: an error unless `status.idle` is 1."
