"""The comparison with the FP16 unit: what is counted, what follows, and that the committed results still hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_liberty import small_liberty

from golden_model.errors import UserError
from golden_model.nmpu_config import Input, NmpuConfig
from integration.cli.main import main
from integration.studies.bounds import bounds
from synth import liberty, timing
from synth.compare import figures, stored
from synth.compare.candidates import COLUMNS, DEPTHS, UNITS, fp16, nmpu
from synth.compare.comparison import Comparison, compare, document, read
from synth.compare.complete import complete
from synth.compare.cycles import Cycles, count
from synth.compare.measure import Measured, Netlist, stored_bits, text
from synth.mapping import fingerprint
from synth.power import simulate
from synth.power.energy import Power
from synth.registry import unit as find_unit

pytestmark = pytest.mark.whole

COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "compare.json"
needs_sta = pytest.mark.skipif(not timing.installed(), reason="OpenSTA is not installed")


def netlist(period: float, arithmetic: float, area: float = 0.0, store: float = 0.0) -> Netlist:
    return Netlist(recipe="", target_ps=1.0, period_ps=period, area=area, arithmetic=arithmetic, store=store)


def measured(label: str, lanes: int, cycles: Cycles, bits: int, *netlists: Netlist) -> Measured:
    return Measured(label=label, unit="", lanes=lanes, verilog="", cycles=cycles, bits=bits, netlists=netlists)


NMPU = measured("N", 64, Cycles(vector=8, steady=4), 100, netlist(500, 1000, 1500, 200), netlist(600, 700, 1100, 100))
SHALLOW = measured("FP16, 3", 1, Cycles(vector=270, steady=256), 300, netlist(800, 40, 90, 20))
DEEP = measured("FP16, 6", 1, Cycles(vector=280, steady=256), 300, netlist(600, 70, 120, 20))


def test_every_ratio_is_that_worked_out_by_hand() -> None:
    found = {ratio.name: ratio for ratio in figures.ratios(NMPU, [SHALLOW, DEEP], 0.5)}
    time = found["time of a vector"]
    assert time.value == pytest.approx(280 * 600 / (8 * 500)) and time.fp16.unit is DEEP and time.paper == 139.0
    assert found["cycles of a vector"].value == pytest.approx(270 / 8), "the best depth of each figure"
    assert found["vectors a second"].value == pytest.approx(256 * 600 / (4 * 500))
    dense = found["vectors a second and arithmetic area"]
    assert dense.value == pytest.approx(256 * 800 * 40 / (4 * 600 * 700)) and dense.nmpu.netlist.period_ps == 600
    assert found["arithmetic area"].value == pytest.approx(40 / 700)
    assert found["arithmetic area of one lane"].value == pytest.approx(64 * 40 / 700)
    assert found["whole unit, storage included"].value == pytest.approx((90 - 20 + 150) / (1100 - 100 + 50))
    assert found["storage bits"].value == 3


def spent(nets: float, cells: float | None, leakage_nw: float | None) -> Power:
    parts = {"nets": nets, "cells": cells, "clock_nets": 0.0, "clock_cells": cells, "leakage_nw": leakage_nw}
    return Power(cycles=1, words=1, toggles=0.1, without_table=(), **parts)  # type: ignore[arg-type]


def test_the_energy_of_a_vector_is_that_of_its_steady_cycles() -> None:
    assert "energy of a vector" not in {ratio.name for ratio in figures.ratios(NMPU, [SHALLOW, DEEP], 0.5)}
    first, second = NMPU.netlists
    ours = replace(NMPU, netlists=(first, replace(second, energy=spent(100.0, 50.0, 1e6))))
    deep = replace(DEEP, netlists=(replace(DEEP.netlists[0], energy=spent(30.0, None, None)),))
    found = figures.ratios(ours, [SHALLOW, deep], 0.5)[-1]
    assert found.name == "energy of a vector" and found.paper is None
    assert found.nmpu.value == pytest.approx(4 * (100 + 50 + 50 + 1e6 * 600 * 1e-6)), "4 cycles of 600 ps, 1 mW leaks"
    assert found.fp16.value == 256 * 30 and found.fp16.unit is deep, "only what was measured is compared"
    assert figures.point_fj(*(deep, deep.netlists[0])) == 30


@pytest.mark.parametrize("candidate", [nmpu(1), nmpu(16), fp16(3)], ids=lambda each: each.label)
def test_cycles_are_the_words_and_the_latency(candidate) -> None:  # type: ignore[no-untyped-def]
    words = COLUMNS // candidate.lanes
    latency = find_unit(candidate.unit).latency(candidate.config)
    assert count(candidate) == Cycles(vector=words - 1 + latency, steady=words)


def test_stored_bits_are_those_of_all_columns() -> None:
    assert stored_bits(fp16(4)) == COLUMNS * 6 * 16
    assert stored_bits(nmpu(64)) == stored_bits(nmpu(4)) == COLUMNS * (8 + 8 + 8 + 1 + 8 + 3)


def test_lanes_that_do_not_divide_the_vector_are_refused() -> None:
    with pytest.raises(UserError, match="48 units: they must divide the 256 columns"):
        nmpu(48)


@needs_sta
def test_a_comparison_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "small.lib"
    path.write_text(small_liberty())
    found = compare(liberty.read([path]), units=(1,), depths=(6,), quick=True)
    assert not found.clock_gates and found.bit_area == 5
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(document(found)))
    assert read(kept) == found
    kept.write_text("[]")
    with pytest.raises(UserError, match="holds no comparison that `nmpu compare --json` wrote"):
        read(kept)


@pytest.fixture(scope="module")
def committed() -> Comparison:
    return read(COMMITTED)


def test_the_committed_results_are_of_this_hardware(committed: Comparison) -> None:
    assert [unit.lanes for unit in committed.nmpu] == list(UNITS)
    candidates = [*map(nmpu, UNITS), *map(fp16, DEPTHS)]
    for candidate, unit in zip(candidates, (*committed.nmpu, *committed.fp16), strict=True):
        assert unit.verilog == fingerprint(text(candidate), candidate.unit), (
            f"{unit.label} changed: nmpu compare --json {COMMITTED}"
        )
        assert unit.cycles == count(candidate)
        assert unit.bits == stored_bits(candidate)
        assert any(netlist.energy for netlist in unit.netlists), f"{unit.label}: nmpu compare --measured ... --liberty"
    assert json.loads(COMMITTED.read_text())["ratios"] == json.loads(json.dumps(document(committed)))["ratios"]


def test_the_committed_lane_is_this_one_and_small_enough() -> None:
    told = json.loads((COMMITTED.parent / "lane.json").read_text())
    config = NmpuConfig(input=Input.CODE, partial_sum=False, residual=False, units=1, columns=1)
    assert told["design"] == fingerprint(find_unit("nmpu").part("lane", config), "lane")
    chosen = told["points"][told["chosen"]]
    assert chosen["area"] <= 68 and chosen["period_ps"] <= 705


def test_a_vector_takes_at_most_a_25th_of_the_time(committed: Comparison) -> None:
    assert committed.headline.lanes == 64
    assert committed.ratios(committed.headline)[0].value >= 25


def test_throughput_per_arithmetic_area_is_at_least_5_times_that_of_the_fp16_unit(committed: Comparison) -> None:
    ratios = {ratio.name: ratio.value for ratio in committed.ratios(committed.headline)}
    assert ratios["vectors a second and arithmetic area"] >= 5


def test_the_figures_of_the_page_are_the_measured_ones(committed: Comparison) -> None:
    page = " ".join((COMMITTED.parents[1] / "synthesis.md").read_text().split())
    ratios = {ratio.name: ratio for ratio in committed.ratios(committed.headline)}
    time, dense = ratios["time of a vector"], ratios["vectors a second and arithmetic area"]
    ours, base = time.nmpu, time.fp16
    assert (
        f"{time.value:.1f}x less time: {ours.unit.cycles.vector} cycles of {ours.netlist.period_ps:.0f} ps "
        f"against {base.unit.cycles.vector} of {base.netlist.period_ps:.0f} ps" in page
    )
    assert f"{dense.value:.1f}x the vectors a second and arithmetic area" in page
    energy = ratios["energy of a vector"]
    assert (
        f"{energy.value:.1f}x less energy: {energy.nmpu.value / 1e3:.0f} pJ a vector "
        f"against {energy.fp16.value / 1e3:.0f} pJ" in page
    )
    lane = json.loads((COMMITTED.parent / "lane.json").read_text())
    chosen = lane["points"][lane["chosen"]]
    assert f"{chosen['area']:.1f} um2 at {chosen['period_ps']:.0f} ps" in page


def test_the_committed_energies_of_a_store_are_of_this_hardware_and_on_the_page() -> None:
    told = json.loads((COMMITTED.parent / "energy.json").read_text())
    page = " ".join((COMMITTED.parents[1] / "synthesis.md").read_text().split())
    cases = [(candidate, *case) for candidate in stored.CANDIDATES for case in stored.CASES]
    for (candidate, columns, uniform), unit in zip(cases, told["units"], strict=True):
        assert (unit["label"], unit["stored"], unit["uniform"]) == (candidate.label, columns, uniform)
        assert unit["verilog"] == fingerprint(stored.text(candidate, columns), candidate.unit), "stored.document anew"
        energy = Power(**unit["energy"])
        assert unit["vector_pj"] == COLUMNS / candidate.lanes * energy.cycle_fj(unit["period_ps"]) / 1e3
    of = {case: [u["vector_pj"] for u in told["units"] if (u["stored"], u["uniform"]) == case] for case in stored.CASES}
    (one, *ones), (four, *fours), (wide, *wides) = of.values()
    assert (
        f"4 lanes take {four:.0f} pJ a vector against {min(fours):.0f} pJ, {min(fours) / four:.1f}x, instead of "
        f"{one:.0f} against {min(ones):.0f}, {min(ones) / one:.1f}x" in page
    )
    assert f"{wide:.0f} against {min(wides):.0f} pJ, {min(wides) / wide:.1f}x" in page


def test_what_bounds_a_layer(committed: Comparison) -> None:
    table = bounds("resnet9s", committed, product_ns=10.0)
    first = table.layers[0]
    assert (first.layer, first.rows, first.columns, first.vectors) == ("conv1", 27, 28, 1024)
    best = figures.best(committed.fp16, figures.vector_ps, least=True)
    assert first.fp16_ns == pytest.approx(28 * best.netlist.period_ps / 1e3)
    assert table.layer_us(first, "nmpu") == pytest.approx((1024 * 10 + table.fill_ns["nmpu"]) / 1e3)
    assert first.points == 28 * 1024
    second = next(layer for layer in table.layers if layer.rows > 256)
    assert second.points == second.vectors * second.columns * -(-second.rows // 256), "each tile's sums pass a unit"
    point = figures.point_fj(best.unit, best.netlist)
    assert table.layer_nj(first, "fp16") == pytest.approx(28 * 1024 * point / 1e6)
    unmeasured = replace(table, point_fj={"nmpu": None, "fp16": None})
    assert unmeasured.layer_nj(first, "nmpu") is None and unmeasured.document()["total_fp16_nj"] is None
    assert table.layer_us(first, "fp16") > table.layer_us(first, "nmpu"), "28 columns take the FP16 unit longer"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare"], "needs a cell library: --liberty FILE"),
        (["compare", "--liberty", "none.lib"], "none.lib cannot be read"),
        (["compare", "--measured", "none.json"], "none.json cannot be read"),
        (["compare", "--measured", str(COMMITTED), "--network", "resnet9"], "did you mean resnet9s"),
        (["synth", "npmu"], "unit 'npmu': there are fp16_unit, nmpu"),
        (["synth", "nmpu", "--part", "lanes"], "nmpu has no part 'lanes' in this configuration: there are lane"),
        (["synth", "nmpu", "--clock-gates"], "--clock-gates needs a cell library"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and says in told and told.count("\n") == 1


def test_without_opensta_nothing_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.lib"
    path.write_text(small_liberty())
    library = liberty.read([path])
    timing.version.cache_clear()
    monkeypatch.setattr(timing.shutil, "which", lambda program: None)
    with pytest.raises(UserError, match="OpenSTA is not installed"):
        compare(library, units=(1,), depths=(6,), quick=True)
    timing.version.cache_clear()


def test_energies_are_added_to_the_library_that_was_measured_only(
    tmp_path: Path, committed: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.lib"
    path.write_text(small_liberty())
    monkeypatch.setattr(simulate.shutil, "which", lambda program: program)
    with pytest.raises(UserError, match="small is not the library that was measured"):
        complete(committed, liberty.read([path]))
    monkeypatch.setattr(simulate.shutil, "which", lambda program: None)
    with pytest.raises(UserError, match="energy needs Icarus Verilog"):
        complete(committed, liberty.read([path]))


@needs_sta
def test_clock_gates_need_a_library_that_has_one(tmp_path: Path) -> None:
    from synth.synthesis import QUICK, synthesise

    path = tmp_path / "small.lib"
    path.write_text(small_liberty())
    with pytest.raises(UserError, match="small has no clock gate"):
        synthesise("module a(); endmodule", "a", liberty.read([path]), search=QUICK, clock_gates=True)
