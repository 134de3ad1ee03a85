"""The package: read without a warning by the tools at hand, the same bytes each time, nothing missing."""

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest

from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input, NmpuConfig
from golden_model.scale_array.config import HCIM_B
from integration.cli import main
from synth.package import page
from synth.package.build import package
from synth.package.design import registers
from synth.package.wrap import bits, wrap
from synth.registry import UNITS, unit

pytestmark = pytest.mark.whole

SMALL = NmpuConfig(partial_sum=False, residual=False, relu=False, units=1, columns=1)
CONFIGS = {
    "every stage": ("nmpu", NmpuConfig(batch_norm=True, max_layer_shift=24, max_column_shift=7, units=3, columns=5)),
    "one column a lane": ("nmpu", replace(SMALL, units=4)),
    "one column": ("nmpu", SMALL),
    "many flags": ("nmpu", NmpuConfig(input=Input.CODE, partial_sum=False, residual=False, units=11, columns=3)),
    "fp16": ("fp16_unit", Fp16Config(columns=3)),
}
each = pytest.mark.parametrize("name", CONFIGS)


@cache
def files(name):
    return package(*CONFIGS[name])


def unpack(name, folder):
    for file, text in files(name).items():
        (folder / file).write_text(text)
    return CONFIGS[name][0]


def run(folder, *command):
    """Run a program in a package; return what it says."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


@each
def test_icarus_reads_it_without_a_warning(tmp_path, name):
    top = unpack(name, tmp_path)
    for each_top in (top, f"{top}_apb"):
        command = ("iverilog", "-Wall", "-g2012", "-s", each_top, "-o", "made", "-f", f"{top}.f")
        assert run(tmp_path, *command) == (0, "")


@each
def test_verilator_reads_it_without_a_warning(tmp_path, name):
    """The bind lines too: Verilator knows them."""
    top = unpack(name, tmp_path)
    for each_top in (top, f"{top}_apb"):
        command = ("verilator", "--lint-only", "-Wno-WIDTH", "--top-module", each_top, "-f", f"{top}.f")
        assert run(tmp_path, *command) == (0, "")
    bound = [f"{top}_bind.sv", *(file for file in files(name) if file.endswith(".v")), f"{top}_checker.sv"]
    whole = f"module both; {top} a (); {top}_apb b (); endmodule\n"
    (tmp_path / "both.sv").write_text(whole)
    command = ("verilator", "--lint-only", "-Wno-WIDTH", "-Wno-PINMISSING", "--top-module", "both", "both.sv", *bound)
    assert run(tmp_path, *command) == (0, "")


@each
def test_yosys_reads_it_without_a_warning(tmp_path, name):
    top = unpack(name, tmp_path)
    read = " ".join(("read_verilog -sv", *(tmp_path / f"{top}.f").read_text().split()))
    for each_top in (top, f"{top}_apb", f"{top}_stream_checker", f"{top}_unit_checker"):
        assert run(tmp_path, "yosys", "-q", "-p", f"{read}; hierarchy -check -top {each_top}; proc; check -assert") == (
            0,
            "",
        )


@pytest.mark.parametrize("name", ["every stage", "one column", "fp16"])
def test_its_own_bench_passes_and_fails_where_it_should(tmp_path, name):
    top = unpack(name, tmp_path)

    def simulated():
        made = run(tmp_path, "iverilog", "-g2012", "-Wall", "-s", f"{top}_bench", "-o", "b", "-f", f"{top}.f", bench)
        assert made == (0, "")
        return run(tmp_path, "vvp", "b")[1].splitlines()

    bench = f"{top}_bench.sv"
    assert simulated() == ["PASS"]
    gate = tmp_path / f"{top}_clock_gate.v"
    gate.write_text(gate.read_text().replace("clk & enabled", "clk & !enabled"))
    assert simulated()[-1] == "FAIL"


@each
def test_the_wrappers_are_used(name):
    top, config = CONFIGS[name]
    core = files(name)[f"{top}_core.v"]
    gates = len(re.findall(rf"^  {top}_clock_gate \S+ \(", core, re.MULTILINE))
    assert gates and not re.search(r"\breg\b[^;]*\] *\[|\breg\b[^;]*\S \[", core), "an array is left"
    fields = len(registers(unit(top), config).parameter_fields)
    memories = len(re.findall(rf"^  {top}_parameter_memory #\(", core, re.MULTILINE))
    assert memories == (fields if config.columns > 1 else 0)
    assert (f"{top}_parameter_memory.v" in files(name)) == bool(memories)
    assert f"{gates} of them in the core" in files(name)["README.md"]


@each
def test_nothing_is_left_to_fill_in_and_every_file_is_explained(name):
    top = CONFIGS[name][0]
    for file, text in files(name).items():
        assert text.endswith("\n") and not re.search(r"@[A-Z_]+@|/(home|work|tmp|usr)/|\.py\b", text), file
        assert file == "README.md" or f"`{file}`" in files(name)["README.md"], file
    listed = files(name)[f"{top}.f"].split()
    assert set(listed) == {f for f in files(name) if f.endswith(".v")} | {f"{top}_checker.sv"}
    mentioned = set(re.findall(rf"\b{top}\w*\.\w+", files(name)[f"{top}.core"]))
    assert mentioned == {f for f in files(name) if f.startswith(top)} - {f"{top}.f", f"{top}.core"}


def test_the_bytes_are_the_same_in_another_process():
    program = (
        "import hashlib\nfrom golden_model.nmpu_config import NmpuConfig\nfrom synth.package.build import package\n"
        "files = package('nmpu', NmpuConfig(partial_sum=False, residual=False, relu=False, units=1, columns=1))\n"
        "print(sorted((name, hashlib.sha256(text.encode()).hexdigest()) for name, text in files.items()))"
    )
    environment = {"PYTHONHASHSEED": "5", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    mine = sorted((name, hashlib.sha256(text.encode()).hexdigest()) for name, text in files("one column").items())
    assert done.stdout.strip() == str(mine)


@each
def test_the_constraints_name_every_port_once(name):
    top = CONFIGS[name][0]
    for module in (top, f"{top}_apb"):
        sdc = files(name)[f"{module}.sdc"]
        assert "create_clock -name clk -period [expr 705.0 / $picoseconds] [get_ports clk]" in sdc
        named = [
            port.removesuffix("[*]") for ports in re.findall(r"get_ports \{(.*?)\}", sdc) for port in ports.split()
        ]
        verilog = files(name)[f"{module}.v"]
        text = verilog[verilog.index(f"module {module}(") :]
        declared = re.findall(r"^  (?:input|output) (?:\[\d+:0\] )?(\w+);$", text, re.MULTILINE)
        assert sorted([*named, "clk"]) == sorted(declared)


@each
def test_the_constraints_tell_which_registers_may_have_two_cycles(name):
    top, config = CONFIGS[name]
    told = " ".join(unit(top).standing(config)) or "none in this configuration"
    assert f"#   {told}\n" in files(name)[f"{top}.sdc"]


def test_the_period_is_the_users():
    given = package("nmpu", SMALL, 1250)
    assert "[expr 1250.0 / $picoseconds]" in given["nmpu_apb.sdc"] and "the default" not in given["nmpu.sdc"]
    assert "the default" in files("one column")["nmpu.sdc"]


def test_a_unit_without_a_host_has_no_package():
    with pytest.raises(UserError, match="scale_array has no package: fp16_unit and nmpu have; elaborate it without"):
        package("scale_array", HCIM_B)


@pytest.mark.parametrize("name", [name for name, known in UNITS.items() if known.hosted])
def test_registers_do_not_overlap_and_fit_the_address(name):
    for config in (unit(name).config(), *(config for owner, config in CONFIGS.values() if owner == name)):
        of = registers(unit(name), config)
        at = [each.offset + n * each.stride for each in of.registers for n in range(each.count)]
        assert len(at) == len(set(at)) and max(at) < of.size <= 1 << of.address_bits
        assert all(address % 4 == 0 for address in at)
        assert sum(each.count for each in of.registers if each.offset >= of.parameters) == of.count * len(
            of.parameter_fields
        )


def test_the_page_shows_the_registers():
    if not page.PAGE.exists():
        pytest.skip("the pages are not installed, only checked out")
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.regenerated(text) == text, "run `python -m synth.package.page`"


def test_signals_of_rtlil_fall_into_bits():
    widths = {"\\a": 1, "\\b": 3}
    assert bits("{ \\a \\b [2:1] 2'01 }", widths) == ["1'1", "1'0", "\\b [1]", "\\b [2]", "\\a"]
    assert bits("\\b", widths) == ["\\b [0]", "\\b [1]", "\\b [2]"]
    with pytest.raises(ValueError, match="not a signal"):
        bits("{ 3 }", widths)


def test_a_flip_flop_whose_enable_is_low_keeps_it():
    flop = "  cell $dffe $%s\n    parameter \\CLK_POLARITY 1\n    parameter \\EN_POLARITY %s\n    parameter \\WIDTH 3\n"
    flop += "    connect \\CLK \\clk\n    connect \\D \\d\n    connect \\EN \\e\n    connect \\Q \\q\n  end\n"
    module = "module \\m\n  wire \\clk\n" + flop % ("1", 1) + flop % ("2", 0) + "end\n"
    found = wrap(module, gate="g", memory="y", lanes=1)
    assert (found.gates, found.gated) == (1, 3) and found.text.count("cell $dffe") == 1
    assert "cell \\g \\gate_0" in found.text


def test_the_command_writes_the_folder_whole_or_not_at_all(tmp_path, capsys, monkeypatch):
    few = ["--set=units=1", "--set=columns=1", "--set=partial_sum=false", "--set=residual=false", "--set=relu=false"]
    folder = tmp_path / "deep" / "package"

    def call(*arguments):
        try:
            main(["elaborate", "nmpu", *few, *arguments])
        except SystemExit as done:
            return done.code or 0, capsys.readouterr()
        return 0, capsys.readouterr()

    assert call("--package", str(folder))[0] == 0
    assert {path.name for path in folder.iterdir()} == set(files("one column"))
    code, said = call("--package", str(tmp_path / "new"), "--period", "0")
    assert (code, said.err) == (2, "nmpu: a clock period of 0 ps: allowed are 1 to 1e9\n")
    monkeypatch.setattr("synth.package.build.package", lambda *given: files("one column"))  # once was enough
    assert call("--package", str(folder))[0] == 0, "the same package again is no mistake"
    (folder / "nmpu.v").write_text("mine")
    code, said = call("--package", str(folder))
    assert (code, said.err) == (2, f"nmpu: {folder}: there is something else already; name a new folder\n")
    assert (folder / "nmpu.v").read_text() == "mine"
    mistakes = {
        ("--package", str(folder / "nmpu.v")): "is a file; name a new folder",
        ("--package", str(tmp_path / "new"), "-o", "nmpu.v"): "--package writes a folder, --output a file: not both",
        ("--period", "500"): "--period is the clock of a package: --package DIR",
    }
    for arguments, text in mistakes.items():
        code, said = call(*arguments)
        assert code == 2 and text in said.err and said.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"], "nothing half-written stays"


def test_a_configuration_of_another_unit_is_refused():
    with pytest.raises(UserError, match=r"^nmpu is built from NmpuConfig, not from Fp16Config$"):
        package("nmpu", Fp16Config())
