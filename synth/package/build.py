"""The files of a package, by name: nothing in them depends on where or when they are made."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from golden_model.errors import UserError
from hdl.apb import RegisterMap
from synth.package.describe import access_legend, bus_ports, c_header, port_table, register_table
from synth.package.design import Design, design, template
from synth.registry import unit as find_unit
from synth.tables import Port, configuration, ports

PERIOD_PS = 705.0
"""The clock that the constraints ask for where nothing else is asked, ps."""
_DEFAULT = (
    ", the default: the clock at which this\n"
    "# project states the area of one lane on ASAP7 (typical corner, static timing without wires)"
)


def package(name: str, config: Any, period_ps: float = PERIOD_PS) -> dict[str, str]:
    """Return the files of a unit's package, name -> text.

    The text depends on configuration, period and the versions of this project, Amaranth and its Yosys alone. Raises
    UserError for a name that is no unit, a configuration of another, a period that is none, and a parameter that does
    not fit a word of the bus.
    """
    unit = find_unit(name)
    if not isinstance(config, unit.config):
        raise UserError(f"{name} is built from {unit.config.__name__}, not from {type(config).__name__}")
    if not 1 <= period_ps <= 1e9:
        raise UserError(f"a clock period of {period_ps:g} ps: allowed are 1 to 1e9")
    made = design(unit, config)
    registers = made.registers
    wrappers = ["clock_gate"] + ["parameter_memory"] * bool(made.wrapped.memories)
    rtl = {f"{name}_{wrapper}.v": template(f"{wrapper}.v", UNIT=name) for wrapper in wrappers}
    rtl |= {f"{name}_core.v": made.core, f"{name}.v": made.plain, f"{name}_apb.v": made.bus}
    plain, bus = ports(unit, config), bus_ports(unit, config, registers)
    widths = {port.name: port.width for port in plain}
    facts = {
        "UNIT": name,
        "TITLE": unit.title,
        "VERSION": version("nmpu"),
        "RTL": "\n".join(f"      - {file}" for file in rtl),
        "COLUMNS": registers.columns,
        "COUNT": registers.count,
        "LATENCY": unit.latency(config),
        "IN": widths["i__payload"],
        "OUT": widths["o__payload"],
    }
    files = {
        **rtl,
        f"{name}_checker.sv": template("checker.sv", **facts),
        f"{name}_bind.sv": template("bind.sv", **facts),
        f"{name}_bench.sv": template("bench.sv", **facts, **_bench(registers)),
        f"{name}.f": "".join(f"{file}\n" for file in [*rtl, f"{name}_checker.sv"]),
        f"{name}.core": template("unit.core", **facts),
        f"{name}.sdc": _constraints(name, name, plain, period_ps),
        f"{name}_apb.sdc": _constraints(name, f"{name}_apb", bus, period_ps),
        f"{name}_registers.h": c_header(unit, registers),
        "configuration.toml": "".join(f"{line}\n" for line in configuration(config)),
    }
    files["README.md"] = template("README.md", **facts, **_readme(made, plain, bus, period_ps))
    return files


def _constraints(unit: str, top: str, rows: list[Port], period_ps: float) -> str:
    ends = {"input": "", "output": ""}
    for port in rows:
        if port.name != "clk":
            ends[port.direction] += f" {port.name}{'[*]' if port.width > 1 else ''}"
    return template(
        "constraints.sdc",
        UNIT=unit,
        TOP=top,
        PERIOD=f"{period_ps:.1f}",
        MEANING=_DEFAULT if period_ps == PERIOD_PS else "",
        INPUTS=ends["input"].strip(),
        OUTPUTS=ends["output"].strip(),
    )


def _bench(registers: RegisterMap) -> dict[str, object]:
    """Return what the smoke test has to know of the registers."""
    facts = [(each.offset, each.value) for each in registers.registers if each.value is not None]
    fields = [(registers[field.name].offset, field) for field in registers.parameter_fields]
    layer = next((each for each in registers.registers if each.name == "layer"), None)
    last = sum(1 << field.low for field in layer.fields if field.name == "last") if layer else 0
    lines = {
        "FACTS": [f"transfer({at}, 0, 0); check(found, 32'h{value:08x}, {at});" for at, value in facts],
        "WRITES": [f"write_field({at}, {salt});" for salt, (at, _) in enumerate(fields, 1)],
        "READS": [
            f"read_field({at}, {salt}, {field.width}, {int(field.signed)});"
            for salt, (at, field) in enumerate(fields, 1)
        ],
        "LAYER": [f"transfer({layer.offset}, 1, {last});"] if layer else [],
    }
    numbers = {
        "ADDRESS": registers.address_bits,
        "STRIDE": registers.column_stride,
        "FLAGS": registers.flags,
        "FLAG_WORDS": registers.flag_words,
    }
    return numbers | {key: "\n".join(f"    {line}" for line in each) for key, each in lines.items()}


def _readme(made: Design, plain: list[Port], bus: list[Port], period_ps: float) -> dict[str, object]:
    memory = (
        f"| `{made.unit.name}_parameter_memory.v` | one field's parameters, a row a word: {made.wrapped.memories} of "
        "them; a flow puts its own memory into the module |\n"
    )
    return {
        "PERIOD": f"{period_ps:g}",
        "MEMORY": memory if made.wrapped.memories else "",
        "GATES": made.wrapped.gates,
        "GATED": made.wrapped.gated,
        "PORTS": port_table(plain),
        "BUS_PORTS": port_table(bus),
        "REGISTERS": register_table(made.registers),
        "LEGEND": access_legend(),
        "SIZE": made.registers.size,
        "CONFIGURATION": "\n".join(f"    {line}" for line in configuration(made.config)),
    }
