"""The comparison as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from synth.compare import figures
from synth.compare.candidates import COLUMNS
from synth.compare.comparison import Comparison
from synth.compare.measure import Measured


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < left else "right", no_wrap=index == 0)
    return table


def _short(unit: Measured) -> str:
    """Return a unit's name as a narrow table has room for."""
    return unit.label.removesuffix(" a multiply-add")


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print what was measured of every unit, and the ratios of the headline with their formulas."""
    console.print(f"{comparison.library}; {', '.join(comparison.tools)}")
    gates = "clock gates" if comparison.clock_gates else "enables (the library has no clock gate)"
    console.print(
        f"A vector: {COLUMNS} columns; two counts, partial sum, residual, both ReLU positions; the NMPU with "
        "carry_save, its default else. Period: static timing, "
        f"input and output delay 0, no wires, {gates} and two cycles for standing registers in both units. Area as the "
        "library says (um2 by custom). Cycles: counted in the simulated RTL, from the edge that accepts the first word "
        f"to the one that delivers the last. Storage apart: {comparison.bit_area:g} a bit in both, one smallest "
        "flip-flop.\n"
    )
    table = _table(
        "unit", "period\nps", "cycles", "vector\nns", "vectors\na us", "arith-\nmetic", "a lane", "bits", "whole"
    )
    for unit in (*comparison.nmpu, *comparison.fp16):
        fastest = min(unit.netlists, key=lambda netlist: netlist.period_ps)
        table.add_row(
            _short(unit),
            f"{fastest.period_ps:.0f}",
            str(unit.cycles.vector),
            f"{figures.vector_ps(unit, fastest) / 1e3:.2f}",
            f"{figures.vectors_a_second(unit, fastest) / 1e6:.1f}",
            f"{fastest.arithmetic:.0f}",
            f"{fastest.arithmetic / unit.lanes:.1f}",
            str(unit.bits),
            f"{figures.whole(unit, fastest, comparison.bit_area):.0f}",
        )
    console.print(table, "The fastest netlist of each unit; FP16 by the cycles of a multiply-add.\n")
    print_energy(comparison, console)
    headline = comparison.headline
    table = _table(f"{headline.label} over FP16", "ours", "paper", "FP16's\ncycles", "formula")
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


def print_energy(comparison: Comparison, console: Console) -> None:
    """Print the energy of the fastest measured netlist of every unit, by part."""
    columns = (
        "nets\npJ",
        "cells\npJ",
        "clock\nnets",
        "clock\ncells",
        "leak-\nage",
        "pJ a\nvector",
        "fJ a\npoint",
        "mW",
        "edges",
    )
    table = _table("unit", *columns)
    lacking: set[str] = set()
    for unit in (*comparison.nmpu, *comparison.fp16):
        known = [netlist for netlist in unit.netlists if netlist.energy is not None]
        if not known:
            continue
        fastest = min(known, key=lambda netlist: netlist.period_ps)
        power, period, cycles = fastest.energy, fastest.period_ps, unit.cycles.steady
        assert power is not None
        leakage = None if power.leakage_nw is None else power.leakage_fj(period)
        parts = (power.nets, power.cells, power.clock_nets, power.clock_cells, leakage)
        table.add_row(
            _short(unit),
            *("absent" if part is None else f"{cycles * part / 1e3:.2f}" for part in parts),
            f"{figures.vector_fj(unit, fastest) / 1e3:.1f}",
            f"{figures.point_fj(unit, fastest):.0f}",
            f"{power.microwatts(period) / 1e3:.2f}",
            f"{power.toggles:.2f}",
        )
        lacking |= set(power.without_table)
    if not table.rows:
        console.print("Energy: not measured (it needs Icarus Verilog).\n")
        return
    console.print(
        table,
        "Energy in steady state, fastest netlist, at its own clock: toggles of the gate-level netlist (no delays, so "
        "no glitches; no wires) under a trace of a network, outputs equal to the golden model's. Edges: of a net and "
        "cycle. Storage of one column a lane, whose parameters stand still. Absent: not in the library.\n",
    )
    if lacking:
        console.print(f"Without tables in this library, counted as 0: {', '.join(sorted(lacking))}\n")
