"""The comparison as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from synth.compare import figures
from synth.compare.candidates import COLUMNS
from synth.compare.comparison import Comparison


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right")
    return table


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what was measured of every unit, and the ratios of the headline with their formulas."""
    console.print(f"{comparison.library}; {', '.join(comparison.tools)}")
    gates = "clock gates" if comparison.clock_gates else "enables (the library has no clock gate)"
    console.print(
        f"A vector: {COLUMNS} columns; two counts, partial sum, residual, both ReLU positions. Period: static timing, "
        f"input and output delay 0, no wires, {gates} and two cycles for standing registers in both units. Area as the "
        "library says (um2 by custom). Cycles: counted in the simulated RTL, from the edge that accepts the first word "
        f"to the one that delivers the last. Storage apart: {comparison.bit_area:g} a bit in both, one smallest "
        "flip-flop.\n"
    )
    table = _table("unit", "period ps", "cycles", "vector ns", "vectors/us", "arithmetic", "a lane", "bits", "whole")
    for unit in (*comparison.nmpu, *comparison.fp16):
        fastest = min(unit.netlists, key=lambda netlist: netlist.period_ps)
        table.add_row(
            unit.label,
            f"{fastest.period_ps:.0f}",
            str(unit.cycles.vector),
            f"{figures.vector_ps(unit, fastest) / 1e3:.2f}",
            f"{figures.vectors_a_second(unit, fastest) / 1e6:.1f}",
            f"{fastest.arithmetic:.0f}",
            f"{fastest.arithmetic / unit.lanes:.1f}",
            str(unit.bits),
            f"{figures.whole(unit, fastest, comparison.bit_area):.0f}",
        )
    console.print(table, "The fastest netlist of each unit.\n")
    headline = comparison.headline
    table = _table(f"{headline.label} over FP16", "ours", "paper", "FP16's cycles a multiply-add", "formula")
    found = comparison.ratios(headline)
    for index, ratio in enumerate(found):
        paper = f"paper {ratio.paper:g}x" if ratio.paper is not None else ""
        name = f"{ratio.name} (headline)" if index == 0 else ratio.name
        depth = ratio.fp16.unit.label.removeprefix("FP16, ").split()[0]
        table.add_row(name, f"{ratio.value:.2f}x", paper, depth, f"({index + 1})")
    console.print(table)
    for index, ratio in enumerate(found):
        console.print(f"({index + 1}) {ratio.name} = {ratio.formula}")
    unit, most = comparison.largest
    reaches = "reaches" if most >= figures.PAPER["time"] else "does not reach"
    console.print(
        f"\nOf every ratio the best FP16 depth and the best netlist of either unit. The largest ratio of the time of a "
        f"vector is {most:.1f}x ({unit.label}); it {reaches} the paper's {figures.PAPER['time']:g}x on our definition."
    )
