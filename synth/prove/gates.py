"""A combinational module as C++ over words of many lanes: every bit of a port is a word, every gate one operation.

Yosys maps the Verilog to gates with two or three inputs; one evaluation of the C++ then works on 512 different inputs
at a time. What runs is the gates that a mapping makes of the hardware's operators, not the operators of the language.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synth import yowasp
from synth.compiled import build

PASSES = "proc; flatten; opt -full; alumacc; techmap; opt -fast; simplemap; opt -fast; opt_clean -purge"
"""From Verilog to gates, by the adders and the multipliers that Yosys maps to by itself."""

_GATES = {
    "$_BUF_": "{A}",
    "$_NOT_": "~{A}",
    "$_AND_": "{A} & {B}",
    "$_NAND_": "~({A} & {B})",
    "$_OR_": "{A} | {B}",
    "$_NOR_": "~({A} | {B})",
    "$_XOR_": "{A} ^ {B}",
    "$_XNOR_": "~({A} ^ {B})",
    "$_ANDNOT_": "{A} & ~{B}",
    "$_ORNOT_": "{A} | ~{B}",
    "$_MUX_": "({S} & {B}) | (~{S} & {A})",
}
"""What a gate makes of its inputs."""


def compiled(text: str, top: str, driver: Path, constants: Mapping[str, int]) -> ctypes.CDLL:
    """Return a driver compiled with the module `top` of a Verilog text; compiled once, then kept by its content.

    The driver includes `model.h`: the numbers `constants`, and the function TOP(const V *input, ..., V *output, ...),
    one argument a port, in the order in which the module declares them.

    Raises UserError without Yosys, without a compiler, or where the cache cannot be written.
    """
    tool = build.compiler()
    parts = (
        text,
        top,
        driver.read_text(),
        repr(dict(constants)),
        PASSES,
        yowasp.tool(),
        tool,
        build.processor(),
        *build.OPTIMISE,
    )

    def make(folder: Path) -> None:
        (folder / "design.v").write_text(text)
        yowasp.run(f"read_verilog design.v; hierarchy -top {top}; {PASSES}; write_json gates.json", folder)
        module = json.loads((folder / "gates.json").read_text())["modules"][top]
        header = [f"#define {name} {value}" for name, value in constants.items()]
        (folder / "model.h").write_text("\n".join([*header, *_function(top, module)]) + "\n")
        build.run([tool, *build.OPTIMISE, "-shared", f"-I{folder}", "-o", "model.so", str(driver)], folder)

    return build.kept(f"{top}-gates", parts, make)


def _function(top: str, module: Any) -> Iterator[str]:
    """Return the lines of the module as a C++ function."""
    ports = module["ports"]
    arguments = (f"{'const ' if port['direction'] == 'input' else ''}V *{name}" for name, port in ports.items())
    yield f"static inline void {top}({', '.join(arguments)}) {{"
    yield "  const V zero = {}, one = ~zero;"
    wires: dict[Any, str] = {"0": "zero", "x": "zero", "1": "one"}
    for name, port in ports.items():
        if port["direction"] == "input":
            wires |= {bit: f"{name}[{index}]" for index, bit in enumerate(port["bits"])}
    drivers = {cell["connections"]["Y"][0]: cell for cell in module["cells"].values()}
    for name, port in ports.items():
        if port["direction"] == "output":
            for index, bit in enumerate(port["bits"]):
                yield from _drive(bit, drivers, wires)
                yield f"  {name}[{index}] = {wires[bit]};"
    yield "}"


def _drive(bit: Any, drivers: Mapping[Any, Any], wires: dict[Any, str]) -> Iterator[str]:
    """Return the lines that make a bit, what it is made of first."""
    waiting = [bit]
    while waiting:
        this = waiting[-1]
        if this in wires:
            waiting.pop()
            continue
        cell = drivers[this]
        inputs = {port: bits[0] for port, bits in cell["connections"].items() if port != "Y"}
        missing = [each for each in inputs.values() if each not in wires]
        if missing:
            waiting += missing
            continue
        wires[this] = f"n{this}"
        gate = _GATES[cell["type"]].format(**{port: wires[each] for port, each in inputs.items()})
        yield f"  const V n{this} = {gate};"
        waiting.pop()
