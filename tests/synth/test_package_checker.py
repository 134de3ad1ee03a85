"""The assertions of a package: silent on the sound unit, and each reports a fault that it is there for."""

import re
import shutil
import subprocess

import pytest

from cocotb_tests.contract import Planted
from cocotb_tests.nmpu.ports import ports
from cocotb_tests.planted import frame_faults, wrapper
from golden_model.nmpu_config import NmpuConfig
from synth.package.build import package
from synth.package.design import template
from synth.registry import unit

pytestmark = pytest.mark.whole

CONFIG = NmpuConfig(input_bits=4, residual=False, units=2, columns=2)
PORTS = ports(CONFIG)
OUT = PORTS.units * PORTS.output.bits

OWN = [
    Planted(name="valid is unknown", outputs=(("o__valid", "waited == 2 ? 1'bx : o__valid_s"),)),
    Planted(name="ready is unknown", outputs=(("i__ready", "flying == 2 ? 1'bx : i__ready_s"),)),
    Planted(name="a bit of the word is unknown", outputs=(("o__payload", f"o__payload_s ^ {{1'bx, {OUT - 1}'d0}}"),)),
    Planted(name="words vanish", outputs=(("o__valid", "1'b0"),)),
]
FAULTS = [*OWN, *frame_faults(PORTS)]
SEEN = {
    "valid is unknown": "valid_is_known",
    "ready is unknown": "ready_is_known",
    "a bit of the word is unknown": "payload_is_known",
    "words vanish": "no_word_is_lost",
    "a long stall drops the word at the output": "valid_stays",
    "the word changes while it waits": "payload_stays",
    "valid is withdrawn under a stall": "valid_stays",
    "a word is taken and not acknowledged": "valid_when_due",
    "an idle cycle enters as a word": "no_word_from_nothing",
    "ready falls every other cycle": "ready_falls_under_pressure",
    "idle forgets the word number": "idle_is_exact",
    "idle forgets the words inside": "idle_is_exact",
}
"""By fault: an assertion that must report it."""

BENCH = """
module bench;
  reg clk = 0, rst = 1, offered = 0, ready = 0, en = 0, layer = 0;
  reg [7:0] select = 0, early = 0, unstable = 0, withdrawn = 0;
  reg [@IN@-1:0] word = 0;
  reg [@COLUMN@-1:0] column = 0;
  wire taken, valid, idle;
  wire [@OUT@-1:0] result;
  wire [3:0] flags;
  integer seed = 3, n, sent = 0;
  nmpu dut (.clk(clk), .mutsel(select[@SELECT@-1:0]), .rst(rst), .i__valid(offered), .i__payload(word),
    .i__ready(taken), .o__ready(ready), .o__valid(valid), .o__payload(result), .write__en(en), .write__column(column),
    .write__mask({@MASK@{1'b1}}), .write__data({@WRITE@{1'b0}}), .layer__en(layer), .layer__data(@LAYER@'d0),
    .flags(flags), .idle(idle));
  nmpu_stream_checker #(.WIDTH(@IN@), .BACK_PRESSURE_ONLY(1)) check_i (.clk(clk), .rst(rst), .payload(word),
    .valid(offered), .ready(taken), .pressed(valid & ~ready));
  nmpu_stream_checker #(.WIDTH(@OUT@)) check_o (.clk(clk), .rst(rst), .payload(result), .valid(valid), .ready(ready),
    .pressed(1'b0));
  nmpu_unit_checker #(.COLUMNS(2), .LATENCY(@LATENCY@)) check_unit (.clk(clk), .rst(rst), .i__valid(offered),
    .i__ready(taken), .o__valid(valid), .o__ready(ready), .idle(idle), .access(en | layer));
  always #5 clk = ~clk;
  initial begin
    n = $value$plusargs("early=%d", early);
    n = $value$plusargs("unstable=%d", unstable);
    n = $value$plusargs("withdrawn=%d", withdrawn);
    repeat (3) @(posedge clk);
    rst <= 0;
    for (n = 0; n < 4; n = n + 1) begin
      en <= 1; column <= n; layer <= n == 0;
      @(posedge clk);
    end
    en <= 0; layer <= 0;
    @(posedge clk);
    n = $value$plusargs("select=%d", select);
    for (n = 0; n < 400; n = n + 1) begin
      if (!offered || taken) begin
        offered <= $random(seed) & 1;
        word <= {8{$random(seed)}};
      end else begin
        if (unstable) word <= ~word;
        if (withdrawn) offered <= 0;
      end
      ready <= n % 40 < 20 ? 1 : $random(seed) & ($random(seed) >> 1) & 1;
      en <= early && n == 100;
      @(posedge clk);
    end
    $finish;
  end
endmodule
"""


@pytest.fixture(scope="module")
def simulate(tmp_path_factory):
    """Return a function: what is switched on -> the assertions that reported something."""
    if shutil.which("iverilog") is None:
        pytest.skip("iverilog is not installed")
    folder = tmp_path_factory.mktemp("checker")
    files = package("nmpu", CONFIG)
    text = wrapper("nmpu", PORTS, "\n".join(text for name, text in files.items() if name.endswith(".v")), FAULTS)
    values = {
        "IN": PORTS.units * PORTS.input.bits,
        "OUT": OUT,
        "COLUMN": 2,
        "SELECT": len(FAULTS).bit_length(),
        "MASK": len(PORTS.parameters.fields),
        "WRITE": PORTS.parameters.bits,
        "LAYER": PORTS.layer.bits,
        "LATENCY": unit("nmpu").latency(CONFIG),
    }
    bench = BENCH
    for name, value in values.items():
        bench = bench.replace(f"@{name}@", str(value))
    (folder / "all.sv").write_text(text + files["nmpu_checker.sv"] + bench)
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", "b", "all.sv"], cwd=folder, check=True)

    def run(**on):
        arguments = [f"+{name}={value}" for name, value in on.items()]
        done = subprocess.run(["vvp", "b", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return set(re.findall(r"Scope: bench\.check_\w+\.(\w+)", done.stdout))

    return run


def test_the_sound_unit_is_silent(simulate):
    assert simulate() == set()


@pytest.mark.parametrize("fault", SEEN)
def test_a_fault_of_the_unit_is_reported(simulate, fault):
    number = next(number for number, planted in enumerate(FAULTS, 1) if planted.name == fault)
    assert SEEN[fault] in simulate(select=number)


def test_a_fault_of_the_surroundings_is_reported(simulate):
    assert simulate(early=1) == {"parameters_only_while_idle"}
    assert "payload_stays" in simulate(unstable=1)
    assert "valid_stays" in simulate(withdrawn=1)


def test_every_assertion_has_its_fault():
    text = template("checker.sv")
    assert set(re.findall(r"begin : (\w+) assert", text)) == set(SEEN.values()) | {"parameters_only_while_idle"}
