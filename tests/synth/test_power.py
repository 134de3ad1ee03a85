"""Energy from switching activity: worked out by hand on an invented library, and simulated at gate level."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_liberty import BUFFERS, CLOCK_GATE, FLOP, GATES, small_liberty

from golden_model.errors import UserError
from synth import liberty
from synth.compare import energy as compared
from synth.compare.candidates import fp16, nmpu
from synth.liberty import Library
from synth.mapping import RECIPES, map_cells, source
from synth.power import energy, functions, simulate
from synth.power.simulate import Activity, Stimulus

pytestmark = pytest.mark.whole
needs_icarus = pytest.mark.skipif(simulate.missing() is not None, reason="Icarus Verilog is not installed")


def edges(rise: float, fall: float, rest: str = "") -> str:
    values = "".join(f"{k}_power (scalar) {{ values ({v}); }} " for k, v in (("rise", rise), ("fall", fall)))
    return f"internal_power () {{ {rest} {values}}}\n"


def powered() -> str:
    """Return the small library with energies: round numbers, ground tables and conditions among them."""
    text = small_liberty(FLOP, BUFFERS, GATES, CLOCK_GATE)
    rails = 'pg_pin (VDD) { voltage_name : "VDD"; } pg_pin (VSS) { voltage_name : "VSS"; pg_type : primary_ground; }'
    driven = {
        "INV": edges(2, 1, 'related_pin : "A"; related_pg_pin : VDD;')
        + edges(50, 50, 'related_pin : "A"; related_pg_pin : VSS;'),
        "NAND2": edges(2, 2, 'related_pin : "A";') + edges(6, 6, 'related_pin : "B";'),
        "DFF": edges(3, 4, 'related_pin : "CK";'),
    }
    own = {"DFF": edges(0.5, 0.25), "NAND2": edges(0.125, 0.125, 'when : "!B * Y";')}
    leaks = {
        "INV": 'leakage_power () { when : "A"; value : 10; } leakage_power () { when : "!A"; value : 30; }',
        "DFF": "cell_leakage_power : 100;",
    }
    for name in ("INV", "NAND2", "DFF"):
        start = text.index(f"cell ({name})")
        end = text.find("  cell (", start + 1)
        cell = text[start : end if end > 0 else len(text)]
        new = cell.replace("area", f"{rails} {leaks.get(name, '')} area", 1)
        pin = "Q" if name == "DFF" else "Y"
        new = new.replace(f"pin ({pin}) {{", f"pin ({pin}) {{ {driven[name]}", 1)
        first = "CK" if name == "DFF" else "A"
        new = new.replace(f"pin ({first}) {{", f"pin ({first}) {{ {own.get(name, '')}", 1)
        text = text.replace(cell, new)
    return text


def library(tmp_path: Path, text: str) -> Library:
    path = tmp_path / "small.lib"
    path.write_text(text)
    return liberty.read([path])


def cell(kind: str, **pins: int | str) -> dict[str, Any]:
    return {"type": kind, "connections": {pin: [bit] for pin, bit in pins.items()}}


def ports(**bits: int) -> dict[str, Any]:
    return {name: {"direction": "input" if name == "clk" else "output", "bits": [bit]} for name, bit in bits.items()}


def activity(cycles: int, **nets: str) -> Activity:
    """Return an activity from the values of nets `nN`, a digit a half cycle."""
    rows = np.array([[digit == "1" for digit in digits] for digits in nets.values()]).T
    return Activity(values=rows, place={int(name[1:]): at for at, name in enumerate(nets)}, cycles=cycles)


TOGGLE = {
    "ports": ports(clk=2, out=3),
    "cells": {"flop": cell("DFF", CK=2, D=4, Q=3), "inverter": cell("INV", A=3, Y=4)},
}
TOGGLED = activity(2, n2="01010", n3="01100", n4="10011")


def test_a_flip_flop_that_toggles_takes_what_is_worked_out_by_hand(tmp_path: Path) -> None:
    cells = library(tmp_path, powered())
    found = energy.integrate(TOGGLE, cells, energy.tables(cells), TOGGLED, words=0)
    # 1 V and pins of 1 fF: an edge of a net with one pin is 1/2 fJ
    assert found.nets == (2 + 2) * 0.5 / 2, "two edges of either net, two cycles"
    assert found.clock_nets == 4 * 0.5 / 2
    assert found.cells == (2 + 1 + 3 + 4) / 2, "inverter and flip-flop rise and fall once; the ground's 50 do not count"
    assert found.clock_cells == 2 * (0.5 + 0.25) / 2
    assert found.leakage_nw == pytest.approx(100 + (10 + 30) / 2), "the inverter's input is 1 half of the time"
    assert found.toggles == 1 and found.without_table == ()
    assert found.cycle_fj(1000) == pytest.approx(1 + 1 + 5 + 0.75 + 0.12)
    assert found.microwatts(1000) == pytest.approx(7.87), "fJ / ns is uW"


def test_what_the_library_does_not_say_is_absent(tmp_path: Path) -> None:
    cells = library(tmp_path, small_liberty())
    found = energy.integrate(TOGGLE, cells, energy.tables(cells), TOGGLED, words=0)
    assert (found.cells, found.clock_cells, found.leakage_nw) == (None, None, None)
    assert found.cycle_fj(1000) == found.nets + found.clock_nets == 2
    some = library(tmp_path, powered())
    netlist = TOGGLE | {"cells": TOGGLE["cells"] | {"buffer": cell("BUFX1", A=4, Y=5)}}
    told = replace(TOGGLED, values=TOGGLED.values[:, [0, 1, 2, 2]], place=TOGGLED.place | {5: 3})
    assert energy.integrate(netlist, some, energy.tables(some), told, words=0).without_table == ("BUFX1",)


def test_the_inputs_that_changed_with_an_output_share_its_energy_and_conditions_are_those_in_front(
    tmp_path: Path,
) -> None:
    cells = library(tmp_path, powered())
    netlist = {"ports": ports(clk=2, out=5), "cells": {"nand": cell("NAND2", A=3, B=4, Y=5)}}

    def taken(a: str, b: str, y: str) -> float | None:
        found = energy.integrate(netlist, cells, energy.tables(cells), activity(1, n2="010", n3=a, n4=b, n5=y), words=0)
        return found.cells

    assert taken("011", "111", "100") == 2, "A alone"
    assert taken("111", "011", "100") == 6, "B alone"
    assert taken("011", "011", "100") == 4 + 0.125, "both: the mean; and A rose where B was 0 and Y 1"
    assert taken("010", "000", "111") == 0.25, "A rises and falls behind a closed gate"


def test_the_clock_goes_through_buffers_and_clock_gates(tmp_path: Path) -> None:
    cells = library(tmp_path, powered())
    netlist = {
        "ports": ports(clk=2, out=6),
        "cells": {
            "buffer": cell("BUFX1", A=2, Y=3),
            "gate": cell("ICG", CK=3, E=7, GCLK=4),
            "flop": cell("DFF", CK=4, D=7, Q=6),
        },
    }
    told = activity(1, n2="010", n3="010", n4="000", n6="000", n7="000")
    found = energy.integrate(netlist, cells, energy.tables(cells), told, words=0)
    assert found.clock_nets == 2 * 2 * 0.5, "the gate is closed: the flip-flop's clock pin takes nothing"
    assert found.nets == 0 and found.clock_cells == 0


@pytest.mark.parametrize(
    ("text", "verilog"),
    [
        ("A * !B + C'", "((A & ~B) | ~C)"),
        ("A B ^ C", "(A & (B ^ C))"),
        ("(!A) + (!B)", "(~A | ~B)"),
        ("!(A&B)|1", "(~(A & B) | 1'b1)"),
    ],
)
def test_a_function_means_the_same_in_verilog_and_in_numpy(text: str, verilog: str) -> None:
    found = functions.read(text)
    assert found.verilog == verilog
    rows = np.array(list(itertools.product([False, True], repeat=3)))
    values = {name: rows[:, at] for at, name in enumerate("ABC")}
    python = f"({verilog}) & 1".replace("1'b1", "1")
    expected = [bool(eval(python, {name: int(v[row]) for name, v in values.items()})) for row in range(8)]
    assert found.of(values).tolist() == expected


@pytest.mark.parametrize("text", ["A *", "(A", "A ) B", "A @ B", "'A"])
def test_what_is_no_function_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no Boolean function of Liberty"):
        functions.read(text)


COUNTER = """module counter(input clk, input rst, input i__valid, output i__ready, input [3:0] i__payload,
  output reg o__valid, input o__ready, output reg [3:0] o__payload, input write__en, input write__column,
  input write__mask, input [3:0] write__data, input layer__en);
  reg [3:0] start;  // the sum of the words so far, from a parameter
  assign i__ready = 1;
  always @(posedge clk) begin
    if (write__en && write__mask) start <= write__data;
    if (rst) o__valid <= 0; else o__valid <= i__valid;
    if (layer__en) o__payload <= start; else if (i__valid) o__payload <= o__payload + i__payload;
  end
endmodule
"""
COUNTED = Stimulus(
    parameters=["3"],
    layer="0",
    words=["1"] * 40,
    expected=[f"{(3 + 1 + n) % 16:x}" for n in range(40)],
    warm=4,
    window=32,
)


@needs_icarus
def test_the_netlist_of_a_counter_toggles_as_a_counter_does_and_a_fault_is_refused(tmp_path: Path) -> None:
    cells = library(tmp_path, powered())
    read = source(COUNTER, "counter", tmp_path)
    made = map_cells(read, "counter", cells, RECIPES[0], 1.0, tmp_path, clock_gates=True)
    assert "ICG" in {each["type"] for each in made.module["cells"].values()}
    tables = energy.tables(cells)
    models = [tables.cell(name).model for name in cells.cells]
    seen = simulate.simulate(made.module, "counter", models, COUNTED, tmp_path)
    counts = (seen.values[1:] != seen.values[:-1]).sum(axis=0)
    out = [counts[seen.place[bit]] for bit in made.module["ports"]["o__payload"]["bits"]]
    assert out == [32, 16, 8, 4], "two whole rounds of four bits"
    assert counts[seen.place[made.module["ports"]["clk"]["bits"][0]]] == 64
    found = energy.measure(made.module, "counter", cells, COUNTED, tmp_path, energies=tables)
    assert found.words == 40 and found.cycles == 32 and found.cells is not None and found.cells > 0

    wrong = copy.deepcopy(made.module)
    made_by = {bit: each for each in wrong["cells"].values() for bit in each["connections"].get("Y", [])}
    held = {each["connections"]["Q"][0]: each for each in wrong["cells"].values() if each["type"] == "DFF"}
    gate = made_by[held[wrong["ports"]["o__payload"]["bits"][0]]["connections"]["D"][0]]
    gate["type"] = {"NAND2": "NOR2", "NOR2": "NAND2", "INV": "BUFX1"}[gate["type"]]
    with pytest.raises(RuntimeError, match=r"the netlist of counter is not the golden model: \d+ of 40 words differ"):
        energy.measure(wrong, "counter", cells, COUNTED, tmp_path, energies=tables)


def test_without_icarus_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate.shutil, "which", lambda program: None)
    cells = library(tmp_path, powered())
    with pytest.raises(UserError, match=r"^iverilog and vvp not found: energy needs Icarus Verilog") as told:
        energy.measure(TOGGLE, "toggle", cells, COUNTED, tmp_path)
    assert "\n" not in str(told.value)


def test_a_condition_on_what_is_no_pin_is_refused(tmp_path: Path) -> None:
    cells = library(tmp_path, powered().replace("!B * Y", "!B * Z"))
    with pytest.raises(UserError, match="NAND2: energy under the condition '!B \\* Z', and Z is no pin of it"):
        energy.tables(cells).cell("NAND2")


def test_flip_flops_with_a_clear_latches_and_clock_gates_are_verilog(tmp_path: Path) -> None:
    latch = FLOP.replace("(DFF)", "(LAT)").replace(
        'ff (IQ, IQN) { clocked_on : "CK"; next_state', 'latch (IQ, IQN) { enable : "CK"; data_in'
    )
    cleared = FLOP.replace("(DFF)", "(DFFR)").replace("next_state", 'clear : "D\'"; next_state')
    tables = energy.tables(library(tmp_path, small_liberty(FLOP, latch, cleared, BUFFERS, GATES, CLOCK_GATE)))
    assert "always @(posedge edge_) IQ <= D;" in tables.cell("DFF").model
    assert "always @(posedge edge_ or posedge clear_) if (~D) IQ <= 1'b0; else IQ <= D;" in tables.cell("DFFR").model
    assert "always @* if (CK) IQ = D;" in tables.cell("LAT").model
    gate = tables.cell("ICG").model
    assert "2'b00: IQ = 1'b0;" in gate and "2'b01: IQ = 1'b1;" in gate and "2'b1?: ;" in gate
    assert "assign GCLK = (CK & IQ);" in gate


@pytest.mark.parametrize("candidate", [nmpu(1), nmpu(4), nmpu(64), fp16(4)], ids=lambda each: each.label)
def test_every_unit_sees_the_whole_trace(candidate) -> None:  # type: ignore[no-untyped-def]
    given = [compared.stimulus(candidate, run) for run in range(compared.runs(candidate))]
    points = sum(len(each.words) for each in given) * candidate.lanes
    assert points == compared.WARM + compared.WINDOW == len(compared.trace()[candidate.unit]["words"]["first"])
    assert sum(each.window for each in given) * candidate.lanes == compared.WINDOW
    assert all(len(each.parameters) == candidate.lanes for each in given)
    assert len(set(given[0].expected)) > 1, "codes that are not all the same"
