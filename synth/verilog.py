"""Verilog text of a unit."""

import os
from typing import Any

from amaranth.back import verilog

from synth.registry import unit


def elaborate(name: str, config: Any) -> str:
    """Return the Verilog text of a unit."""
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    text: str = verilog.convert(unit(name).component(config), name=name, emit_src=False)
    return text
