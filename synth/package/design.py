"""The Verilog of a package: the core with its wrappers as instances, the plain unit's ports around it, and the bus."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import ClockSignal, Instance, ResetSignal
from amaranth.lib import wiring

from golden_model.errors import UserError
from hdl.apb import ApbUnit, RegisterMap
from synth.package.wrap import Wrapped, wrap
from synth.registry import UNITS, Unit
from synth.tables import configuration, ports
from synth.verilog import PASSES, header, netlist_of, verilog_of

TEMPLATES = Path(__file__).parent / "templates"


def template(name: str, **values: object) -> str:
    """Return a file of `templates/` with `@NAME@` replaced by the values."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    return text


class Outside(wiring.Component):  # type: ignore[misc]  # Amaranth ships no types
    """A component whose module stands in another file: an instance by name, with the ports of its Verilog."""

    def __init__(self, component: Any, name: str) -> None:
        self._module = name
        super().__init__(component.signature)

    def elaborate(self, platform: Any) -> Instance:
        """Return the instance."""
        ends = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        for path, member, value in self.signature.flatten(self):
            wire = value.as_value() if hasattr(value, "as_value") else value
            ends[("o_" if member.flow is wiring.Out else "i_") + "__".join(map(str, path))] = wire
        return Instance(self._module, **ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A unit as a package's Verilog."""

    unit: Unit
    """The unit."""
    config: Any
    """Its configuration."""
    registers: RegisterMap
    """What stands behind its bus."""
    wrapped: Wrapped
    """Its netlist, and how many wrappers it has."""
    core: str
    """Modules UNIT_core and UNIT_core.store: arithmetic, store and control, with the ports of a host."""
    plain: str
    """Module UNIT: the core with the ports of `nmpu elaborate UNIT`."""
    bus: str
    """Module UNIT_apb: the core behind an APB subordinate."""


def fingerprint(config: Any) -> int:
    """Return the first 32 bits of the SHA-256 of a configuration's lines of TOML."""
    return int.from_bytes(hashlib.sha256("\n".join(configuration(config)).encode()).digest()[:4], "big")


def registers(unit: Unit, config: Any) -> RegisterMap:
    """Return the registers behind the bus of a unit; raises UserError for a parameter wider than the bus."""
    lanes = getattr(config, "units", 1)  # the FP16 unit has one
    return RegisterMap(
        unit.members(config),
        units=lanes,
        columns=config.columns,
        identifier=unit.identifier,
        latency=unit.latency(config),
        fingerprint=fingerprint(config),
    )


def design(unit: Unit, config: Any) -> Design:
    """Return the Verilog of a unit's package: the same text for the same configuration, on every machine."""
    if unit.hosted is None:
        others = sorted(each.name for each in UNITS.values() if each.hosted)
        raise UserError(f"{unit.name} has no package: {' and '.join(others)} have; elaborate it without --package")
    of = registers(unit, config)
    top, core = f"{unit.name}_apb", f"{unit.name}_core"
    hosted = unit.hosted(config)
    gate, memory = f"{unit.name}_clock_gate", f"{unit.name}_parameter_memory"
    wrapped = wrap(netlist_of(hosted, core), gate=gate, memory=memory, lanes=of.units)
    bus = wrap(netlist_of(ApbUnit(Outside(hosted, core), of), top), gate=gate, memory=memory, lanes=of.units)
    return Design(
        unit=unit,
        config=config,
        registers=of,
        wrapped=wrapped,
        core=_generated(f"{core}: what {unit.name} and {top} have in common.") + verilog_of(wrapped.text, PASSES[-1:]),
        plain=_plain(unit, config, core),
        bus=_generated(f"{top}: {unit.title} behind APB; README.md has the register map.")
        + verilog_of(bus.text, PASSES[-1:]),
    )


def _generated(line: str) -> str:
    return f"// {line} Generated; change the configuration instead.\n\n"


def _plain(unit: Unit, config: Any, core: str) -> str:
    """Return the module with the ports of `nmpu elaborate`: the core without a host."""
    comment = "\n".join(f"// {line}".rstrip() for line in header(unit, config))
    own = ports(unit, config)
    lines = [f"module {unit.name}({', '.join(port.name for port in own)});"]
    for port in own:
        lines.append(f"  {port.direction} {f'[{port.width - 1}:0] ' if port.width > 1 else ''}{port.name};")
    ties = [f"    .{port.name}({port.name})" for port in own]
    count = next(port.width for port in own if port.name == "flags")
    ties += ["    .host__read(1'b0)", f"    .host__clear({count}'b0)", "    .host__data()", "    .host__first()"]
    if any(port.name == "layer__data" for port in own):
        ties.append("    .host__layer()")
    return "\n".join([comment, "", *lines, f"  {core} core (", ",\n".join(ties), "  );", "endmodule", ""])
