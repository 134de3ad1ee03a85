"""The Verilog of the units: read without a warning by the tools at hand, the same text each time, tables that hold."""

import re
import shutil
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from golden_model.configuration import read
from golden_model.errors import UserError
from golden_model.fixed import Rounding
from golden_model.nmpu_config import Input, NmpuConfig
from golden_model.scale_array.config import HCIM_A, HCIM_WIDE, ScaleArrayConfig
from synth import tables
from synth.registry import UNITS, unit
from synth.verilog import elaborate

pytestmark = pytest.mark.whole

NMPUS = {
    "default": NmpuConfig(),
    "1x1": NmpuConfig(units=1, columns=1),
    "signed": NmpuConfig(input=Input.CODE, partial_sum=False, residual=False, units=5, columns=1),
    "every stage": NmpuConfig(batch_norm=True, max_layer_shift=24, max_column_shift=7, units=4),
    "every stage, 3x5": NmpuConfig(batch_norm=True, int8=True, rounding=Rounding.HALF_AWAY, units=3, columns=5),
    "least": NmpuConfig(partial_sum=False, residual=False, relu=False, units=2, columns=3, rounding=Rounding.FLOOR),
}
ARRAYS = {
    "scale array, A": HCIM_A,
    "scale array, wide": HCIM_WIDE,
    "scale array, one stream": ScaleArrayConfig(columns=6, streams=1, scale_bits=3, sum_bits=6),
    "scale array, three passes": ScaleArrayConfig(columns=9, streams=5, scale_bits=1, sum_bits=3),
    "scale array, four passes": ScaleArrayConfig(columns=8, streams=4, scale_bits=2, sum_bits=8, counter_bits=4),
}
UNIT = {NmpuConfig: "nmpu", ScaleArrayConfig: "scale_array"}
CONFIGS: dict[str, Any] = NMPUS | ARRAYS
LONG = ("scale array, wide",)
"""Like A, and as large: read in `make regress`."""
each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in CONFIGS]
)


@cache
def text(name):
    return elaborate(top(name), CONFIGS[name])


def top(name):
    return UNIT[type(CONFIGS[name])]


def run(tmp_path, name, *command):
    """Run a program on a configuration's Verilog; return what it says, which must be nothing."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    (tmp_path / "unit.v").write_text(text(name))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


@each
def test_icarus_reads_it_without_a_warning(tmp_path, name):
    assert run(tmp_path, name, "iverilog", "-Wall", "-g2005", "-s", top(name), "-o", "unit.vvp", "unit.v") == (0, "")


@each
def test_verilator_reads_it_without_a_warning(tmp_path, name):
    assert run(tmp_path, name, "verilator", "--lint-only", "-Wno-WIDTH", "--top-module", top(name), "unit.v") == (0, "")


@each
def test_yosys_reads_it_without_a_warning(tmp_path, name):
    script = f"read_verilog unit.v; hierarchy -check -top {top(name)}; proc; check -assert"
    assert run(tmp_path, name, "yosys", "-q", "-p", script) == (0, "")


def test_the_text_is_the_same_in_another_process():
    name = "1x1"
    program = (
        "from golden_model.nmpu_config import NmpuConfig\nfrom synth.verilog import elaborate\n"
        "print(elaborate('nmpu', NmpuConfig(units=1, columns=1)), end='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert done.stdout == text(name)


@each
def test_no_path_and_no_empty_port(name):
    assert not re.search(r"/(home|work|tmp|usr)/|\.py\b|\[-1:0\]", text(name))
    assert "src =" not in text(name)


@each
def test_the_header_is_the_configuration_and_the_ports(tmp_path, name):
    comment = [line[3:] for line in text(name).splitlines() if line.startswith("//")]
    start = comment.index("Configuration:") + 1
    file = tmp_path / "config.toml"
    file.write_text("\n".join(line.strip() for line in comment[start : comment.index("", start)]))
    assert read(file, type(CONFIGS[name])()) == CONFIGS[name]
    module = text(name)[text(name).index(f"module {top(name)}(") :]
    for port in tables.ports(unit(top(name)), CONFIGS[name]):
        bits = rf"\[{port.width - 1}:0\] " if port.width > 1 else ""
        assert re.search(rf"^  {port.direction} {bits}{port.name};$", module, re.MULTILINE), port
        assert f"{port.name} [{port.width}]: {port.meaning}" in text(name)
    assert f"Latency: {unit(top(name)).latency(CONFIGS[name])} cycles" in text(name)


def test_mistakes_have_one_line():
    with pytest.raises(UserError, match=r"unit 'npu': there are fp16_unit, nmpu, scale_array"):
        unit("npu")
    with pytest.raises(UserError, match=r"nmpu is built from NmpuConfig, not from int"):
        elaborate("nmpu", 3)
    with pytest.raises(UserError, match=r"markers for its ports"):
        tables.regenerated(unit("nmpu"), "a page without markers")


@pytest.mark.parametrize("name", UNITS)
def test_the_tables_of_the_page_are_the_unit(name):
    page = tables.PAGES / f"{name}.md"
    if not page.exists():
        pytest.skip("the pages are not installed, only checked out")
    text = page.read_text(encoding="utf-8")
    assert tables.regenerated(unit(name), text) == text, "run `python -m synth.tables`"
