"""A mapped netlist in Icarus Verilog, cell by cell without delay, and every net's settled value in every half cycle.

The bench is plain Verilog. It resets the unit, writes parameters and layer registers, and then offers a word in every
cycle with the output always ready, so that nothing ever waits. Everything changes at the rising edge, as behind a
register; at the falling edge only clocks change, and what a clock gate keeps. Without delays a net changes at most once
an edge: glitches, which cost energy in a real circuit, are not seen, in any unit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.errors import UserError

_TIMES = 10
"""Simulation steps of a clock period; the rising edge is in its middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stimulus:
    """What a unit is driven with: hexadecimal words, as its ports take them."""

    parameters: Sequence[str]
    """Parameters, one entry a column."""
    layer: str
    """Layer registers."""
    words: Sequence[str]
    """Words, one a cycle."""
    expected: Sequence[str]
    """What the golden model says leaves, word for word."""
    warm: int
    """Cycles from the first word to the window in which toggles count."""
    window: int
    """Cycles of the window; the words must last until its end."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activity:
    """What happened in the window."""

    values: NDArray[np.bool_]
    """(2 * cycles + 1, nets): in front of the window, then behind each rising and each falling edge in turn."""
    place: dict[int, int]
    """Column of a net, by Yosys' number of it."""
    cycles: int
    """Clock periods."""


def missing() -> str | None:
    """Return what is missing for a simulation, None where Icarus Verilog is installed."""
    absent = [tool for tool in ("iverilog", "vvp") if shutil.which(tool) is None]
    found = f"{' and '.join(absent)} not found: energy needs Icarus Verilog (apt-get install iverilog)"
    return found if absent else None


def require() -> None:
    """Refuse (UserError) to go on without Icarus Verilog."""
    if (reason := missing()) is not None:
        raise UserError(reason)


def netlist_verilog(module: Any, top: str) -> str:
    """Return a mapped module (Yosys' JSON) as Verilog with one scalar wire `nN` a net, numbered as there."""
    lines, ports, nets = [], [], set[int]()

    def net(bit: int | str) -> str:
        if isinstance(bit, int):
            nets.add(bit)
            return f"n{bit}"
        return f"1'b{bit}"

    for name, port in module["ports"].items():
        ports.append(f"{port['direction']} [{len(port['bits']) - 1}:0] {name}")
        for index, bit in enumerate(port["bits"]):
            pair = (net(bit), f"{name}[{index}]")
            lines.append("assign {} = {};".format(*(pair if port["direction"] == "input" else pair[::-1])))
    for number, cell in enumerate(module["cells"].values()):
        pins = (f".{pin}({net(bits[0])})" for pin, bits in cell["connections"].items() if bits)
        lines.append(f"{cell['type']} c{number}({', '.join(pins)});")
    wires = [f"wire n{bit};" for bit in sorted(nets)]
    return "\n".join([f"module {top}({', '.join(ports)});", *wires, *lines, "endmodule\n"])


def simulate(module: Any, top: str, models: Iterable[str], stimulus: Stimulus, folder: Path) -> Activity:
    """Run a netlist under a stimulus and return its activity in the window.

    Raises UserError where Icarus Verilog is missing; RuntimeError where an output differs from what the golden model
    says, the unit ever waits, or a net has no value in the window.
    """
    require()
    if stimulus.warm + stimulus.window > len(stimulus.words):
        raise ValueError("the words end in the window")
    (folder / "gates.v").write_text("\n".join([*models, netlist_verilog(module, top), _bench(module, top, stimulus)]))
    for name, rows in (("parameters", stimulus.parameters), ("words", stimulus.words)):
        (folder / f"{name}.hex").write_text("\n".join(rows) + "\n")
    for command in (["iverilog", "-g2005", "-s", "bench", "-o", "gates.vvp", "gates.v"], ["vvp", "gates.vvp"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} refuses the netlist of {top}:\n{(done.stdout + done.stderr)[-2000:]}")
    seen = (folder / "outputs.txt").read_text().split()
    _compare(top, seen, stimulus.expected)
    return _activity(folder / "window.vcd", stimulus.window)


def _compare(top: str, seen: Sequence[str], expected: Sequence[str]) -> None:
    """Refuse outputs that are not the golden model's: the activity would be that of nothing."""
    if "waits" in seen:
        raise RuntimeError(f"{top} waits in the middle of a stream, though its output is taken at once")
    wrong = [index for index, (ours, golden) in enumerate(zip(seen, expected, strict=False)) if ours != golden]
    if wrong or len(seen) != len(expected):
        first = f"; word {wrong[0]} is {seen[wrong[0]]}, not {expected[wrong[0]]}" if wrong else ""
        raise RuntimeError(
            f"the netlist of {top} is not the golden model: {len(wrong)} of {len(seen)} words differ, "
            f"{len(expected)} expected{first}"
        )


def _bench(module: Any, top: str, stimulus: Stimulus) -> str:
    """Return the bench."""
    ports = module["ports"]
    width = {name: len(port["bits"]) for name, port in ports.items()}
    driven = [name for name, port in ports.items() if port["direction"] == "input"]
    signals = "\n".join(f"  {'reg' if n in driven else 'wire'} [{w - 1}:0] {n};" for n, w in width.items())
    cleared = " ".join(f"{name} = 0;" for name in driven)
    layer = f"layer__data <= {width['layer__data']}'h{stimulus.layer};" if "layer__data" in width else ""
    count, columns = len(stimulus.words), len(stimulus.parameters)
    return f"""module bench;
{signals}
  reg [{width["write__data"] - 1}:0] parameters [0:{columns - 1}];
  reg [{width["i__payload"] - 1}:0] words [0:{count - 1}];
  integer file, n, sent;
  {top} unit({", ".join(f".{name}({name})" for name in ports)});
  always #{_TIMES // 2} clk = ~clk;
  always @(posedge clk) if (!rst) begin
    if (o__valid !== 1'b0) $fdisplay(file, "%h", o__payload);
    if (i__valid && i__ready !== 1'b1) $fdisplay(file, "waits");
  end
  initial begin
    {cleared}
    sent = 0; rst = 1; o__ready = 1;
    $readmemh("parameters.hex", parameters);
    $readmemh("words.hex", words);
    file = $fopen("outputs.txt");
    $dumpfile("window.vcd");
    repeat (3) @(posedge clk);
    rst <= 0;
    for (n = 0; n < {columns}; n = n + 1) begin
      @(posedge clk) write__en <= 1; write__mask <= ~0; write__column <= n; write__data <= parameters[n];
    end
    @(posedge clk) write__en <= 0; layer__en <= 1; {layer}
    @(posedge clk) layer__en <= 0;
    for (sent = 0; sent < {count}; sent = sent + 1) begin
      @(posedge clk) i__valid <= 1; i__payload <= words[sent];
    end
    @(posedge clk) i__valid <= 0;
    repeat (64) @(posedge clk);
    $finish;
  end
  // in the middle between two edges, so that a step of the trace is one edge
  initial begin
    wait (sent == {stimulus.warm});
    @(negedge clk) #{_TIMES // 4} $dumpvars(1, bench.unit);
    #{_TIMES * stimulus.window} $dumpoff;
  end
endmodule
"""


def _activity(path: Path, cycles: int) -> Activity:
    """Read the value change dump: one row a time at which anything changed."""
    place: dict[int, int] = {}
    of_code: dict[str, int] = {}
    rows: list[NDArray[np.uint8]] = []
    with path.open(encoding="ascii") as dump:
        for line in dump:
            if line.startswith("$enddefinitions"):
                break
            if found := re.match(r"\$var \w+ 1 (\S+) n(\d+) ", line):
                number = int(found.group(2))
                of_code.setdefault(found.group(1), len(of_code))
                place[number] = of_code[found.group(1)]
        now = np.full(len(of_code), 2, np.uint8)
        for line in dump:
            if line[0] in "01x":
                code = line[1:-1]
                if code in of_code:
                    now[of_code[code]] = 2 if line[0] == "x" else line[0] == "1"
            elif line[0] == "#" and not np.array_equal(now, np.full_like(now, 2)):
                rows.append(now.copy())
            elif line.startswith("$dumpoff"):
                break
    values = np.stack(rows)[: 2 * cycles + 1]
    if len(values) != 2 * cycles + 1:
        raise RuntimeError(f"{len(values) - 1} edges in a window of {cycles} cycles")
    if (values > 1).any():
        unknown = [number for number, column in place.items() if (values[:, column] > 1).any()]
        raise RuntimeError(f"{len(unknown)} nets have no value in the window, n{unknown[0]} among them")
    return Activity(values=values.astype(np.bool_), place=place, cycles=cycles)
