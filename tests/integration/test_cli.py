"""The command line: its output, and one clear line with exit code 2 for every mistake."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cocotb_tests import regression
from cocotb_tests.regression import Row, Summary
from golden_model.configuration import plain, read, replaced, words
from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from golden_model.scale_array.config import HCIM_WIDE, ScaleArrayConfig
from integration.cli import main
from integration.studies import command
from integration.zoo import checkpoint
from sim.presets import PRESETS, any_preset, preset

pytestmark = pytest.mark.whole


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NMPU_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    return 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a mistake; return its one line. Nothing may be left in the working folder that was not there."""
    before = sorted(Path.cwd().rglob("*"))
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err and captured.err.startswith("nmpu: ") and captured.err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return captured.err


def test_evaluate_prints_the_table_and_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "--images", "20", "--layers", "--json", "out.json", "--save", "net.npz", "--eager") == 0
    text = capsys.readouterr().out
    for part in ("resnet9s on digits, 20 images, hermes, seed 0", "analog + float", "analog + FP16", "analog + NMPU",
                 "res2.conv2", "converted network of seed 0: net.npz"):  # fmt: skip
        assert part in text
    document = json.loads(Path("out.json").read_text())
    assert [row["name"] for row in document["rows"]] == ["FP32", "float", "FP16", "NMPU"]
    assert len(document["layers"]) == 3 * 9 and document["preset"]["array"]["device"] == "hermes_pair"
    assert sorted(p.name for p in Path.cwd().iterdir()) == ["net.npz", "out.json"]
    assert run("evaluate", "--load", "net.npz", "--images", "20", "--eager", "--json", "again.json") == 0
    again = json.loads(Path("again.json").read_text())
    assert [row["accuracy"] for row in again["rows"]] == [row["accuracy"] for row in document["rows"][1:]]


def test_presets_are_listed_as_set_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("presets") == 0
    lines = [line.strip().replace(" ", "") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "hermes" and "readout.full_scale=420" in lines and "array.read_noise=true" in lines
    starts = [lines.index(name) for name in PRESETS]
    assert starts == sorted(starts) and len(starts) == 4
    for name, start, end in zip(PRESETS, starts, [*starts[1:], len(lines)], strict=True):
        assert words(any_preset(name), lines[start + 1 : end], "--set") == any_preset(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "resnet9"), "resnet9s"),
        (("--dataset", "digit"), "digits"),
        (("--preset", "hermse"), "did you mean hermes"),
        (("--set", "array.read_noize=false"), "did you mean read_noise"),
        (("--set", "array.read_noise=maybe"), "allowed are true and false"),
        (("--set", "array.rows=500"), "1 to 256"),
        (("--set", "array"), "write key=value"),
        (("--set", "array.device=rram"), "there are hermes_pair"),
        (("--digital", "fixed"), "float, fp16, nmpu"),
        (("--digital", "nmpu:scale=UQ(9"), "write UQ(1,7)"),
        (("--digital", "nmpu:guard=9"), "allowed are 0 to 7"),
        (("--digital", "nmpu:output=INT8"), "does not fit the encoder"),
        (("--digital", "missing.toml"), "missing.toml cannot be read"),
        (("--digital", "nmpu", "--digital", "nmpu"), "share a name"),
        (("--dataset", "cifar10"), "--data"),
        (("--dataset", "cifar10", "--data", "nowhere"), "nowhere"),
        (("--network", "resnet20"), "no checkpoint of resnet20 on digits is shipped"),
        (("--network", "no.such:module"), "no.such"),
        (("--checkpoint", "missing.npz"), "missing.npz"),
        (("--mean", "0.5,0.5"), "write 1 number,"),
        (("--std", "0"), "above 0"),
        (("--load", "missing.npz"), "cannot be read"),
    ],
)
def test_mistakes_in_evaluate(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(capsys, "evaluate", "--images", "10", *arguments)


def test_outputs_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    for option in ("--json", "--save"):
        assert "cannot write" in refused(capsys, "evaluate", "--images", "10", option, "file/inside/out.json")


def test_checkpoint_of_another_network_and_nan(capsys: pytest.CaptureFixture[str]) -> None:
    path = checkpoint.shipped("resnet9s", "digits")
    assert path is not None
    assert "checkpoint" in refused(
        capsys, "evaluate", "--network", "resnet20", "--checkpoint", str(path), "--images", "9"
    )
    state = {name: tensor.numpy().copy() for name, tensor in checkpoint.load_state(path).items()}
    state["conv2.weight"][0, 0, 0, 0] = np.nan
    np.savez("nan.npz", **state)
    assert "conv2.weight" in refused(capsys, "evaluate", "--checkpoint", "nan.npz", "--images", "10")
    Path("cut.npz").write_bytes(path.read_bytes()[:5000])
    assert "cut.npz" in refused(capsys, "evaluate", "--checkpoint", "cut.npz", "--images", "10")


def test_a_readers_network_that_cannot_be_mapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("odd_net.py").write_text(
        "from torch import nn\n\ndef make():\n    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), "
        "nn.Linear(3600, 10))\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert "1 (Tanh) cannot be mapped" in refused(capsys, "evaluate", "--network", "odd_net:make", "--images", "10")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("units = 16\nscael = 'UQ(1,7)'\n", "unknown key 'scael'; did you mean scale?"),
        ("scale = 'UQ(1,x)'\n", "write UQ(1,7)"),
        ("offset = 'UQ(1,7)'\n", "an offset is two's complement"),
        ("units = 0\n", "units = 0: allowed are 1 to"),
        ("units = 1.5\n", "a whole number is wanted"),
        ("rounding = 'up'\n", "allowed are floor, half_up, half_even, half_away"),
        ("units = \n", "is not TOML"),
    ],
)
def test_mistakes_in_a_configuration_file(capsys: pytest.CaptureFixture[str], content: str, message: str) -> None:
    Path("unit.toml").write_text(content)
    assert message in refused(capsys, "elaborate", "nmpu", "--config", "unit.toml", "-o", "nmpu.v")


def test_mistakes_in_elaborate_and_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there are fp16_unit, nmpu, scale_array" in refused(capsys, "elaborate", "nmpv")
    Path("file").write_text("")
    assert "cannot" in refused(
        capsys, "elaborate", "nmpu", "--set", "units=1", "--set", "columns=1", "-o", "file/nmpu.v"
    )
    assert "resnet9s" in refused(capsys, "train", "--network", "resnet8")
    assert "knows nmpu, fp16_unit, scale_array" in refused(capsys, "verify", "adder")
    assert "did you mean fp16_unit?" in refused(capsys, "verify", "fp16_unt")
    assert "unit 'scale_array' has no proof" in refused(capsys, "prove", "scale_array")
    assert "would be read again after 2 cycles" in refused(
        capsys, "elaborate", "scale_array", "--set", "scale_bits=1", "--set", "sum_bits=2"
    )


def test_verify_writes_json_and_fails_on_a_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row(name="small", words=9, corners=3, codes=12, cycles=40, stalls=2, loads=1, resets=0, bins=4,
              mismatches=(), seconds=0.5)  # fmt: skip
    for mismatches, code in (((), 0), (("cycle 7: payload",), 1)):
        found = Summary(unit="fp16_unit", seed=3, quick=True, rows=(replace(row, mismatches=mismatches),))
        monkeypatch.setattr(regression, "verify", lambda *_, found=found, **__: found)
        assert run("verify", "fp16_unit", "--json", "found.json") == code
        assert json.loads(Path("found.json").read_text())["rows"][0]["mismatches"] == list(mismatches)
        assert "fp16_unit against its golden model, tolerance 0, seed 3" in capsys.readouterr().out


def test_configurations_read_back() -> None:
    config = words(NmpuConfig(), ["scale=UQ(1,5)", "output=UINT7", "rounding=half_even", "int8=true"], "test")
    assert replaced(NmpuConfig(), plain(config), "test") == config
    path = Path("unit.toml")
    path.write_text('scale = "UQ(1,5)"\noutput = "UINT7"\nrounding = "half_even"\nint8 = true\n')
    assert read(path, NmpuConfig()) == config
    wide = words(ScaleArrayConfig(), ["streams=3", "scale_bits=8", "sum_bits=16"], "test")  # 8 and 8 bits cannot be
    assert wide == HCIM_WIDE and replaced(ScaleArrayConfig(), plain(wide), "test") == wide
    tile = words(preset("hermes"), ["array.seconds=86400", "readout.output=code"], "test")
    fields = {key: value for key, value in plain(tile).items() if key != "name"}
    assert tile.array.seconds == 86400.0 and replaced(preset("hermes"), fields, "test") == tile
    with pytest.raises(UserError, match="unknown key 'name'"):
        words(preset("hermes"), ["name=x"], "test")


def test_units_follow_the_presets_converters() -> None:
    tile = words(preset("hermes"), ["readout.output=code"], "test")
    unit = command.digital("nmpu:scale=UQ(1,5),guard=3", tile)
    assert unit.name == "NMPU scale=UQ(1,5) guard=3"
    config = unit.config  # type: ignore[attr-defined]  # an NmpuUnit
    assert (str(config.scale), config.guard, config.input.value, config.input_bits) == ("UQ(1,5)", 3, "code", 12)
    assert torch.get_num_threads() >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("evaluate --preset hcim_a --network resnet32", "no checkpoint of resnet32 on digits is shipped for hcim_a"),
        ("evaluate --preset hcim_c", "preset 'hcim_c' is unknown: there are hermes, hcim_a, hcim_b, hcim_wide"),
        ("evaluate --preset hcim_a --save x.npz", "--save: not for bit-sliced presets"),
        ("evaluate --preset hcim_a --seeds 2", "has nothing random: one seed is all"),
        ("evaluate --preset hcim_a --set encode.bits=3", "the array takes one stream an input bit"),
        ("evaluate --preset hcim_a --export x --layer fc --images 1", "--layer 'fc': the sliced layers are conv2, "),
        ("evaluate --arrays-rtl", "hermes has no scale-factor array"),
        ("train --network resnet9s --preset hcim_a", "--preset needs --from FILE"),
        ("train --network resnet9s --preset hermes --from x", "there are hcim_a, hcim_b, hcim_wide"),
        ("train --network resnet9s --preset hcim_a --from x.npz", "checkpoint x.npz does not exist"),
        ("train --network resnet9s --noise hermes --from x.npz", "checkpoint x.npz does not exist"),
        ("train --network resnet9s --noise hermse", "did you mean hermes"),
        ("train --network resnet9s --clip 2 --output-noise 0.1", "--output-noise, --clip: with --noise; name a tile"),
        ("train --network resnet9s --read-noise results", "--read-noise: with --noise; name a tile"),
        ("train --network resnet9s --noise hermes --read-noise result", "'result' is unknown: results or weights"),
        (
            "train --network resnet9s --noise hermes --read-noise results --weight-noise 0.1",
            "which --weight-noise replaces; leave out one",
        ),
        ("train --network resnet9s --noise hermes --preset hcim_a", "leave out --preset or --noise"),
        (
            "evaluate --checkpoint resnet9s_digit",
            "no checkpoint resnet9s_digit is shipped: name a file, or one of resnet20",
        ),
        ("train --network resnet9s --preset hcim_a --from x --sums both", "integer or comparator"),
        ("train --network resnet9s --preset hcim_a --from x --weight-decay 1", "for float trainings"),
        ("train --network resnet9s --binary", "--binary: for trainings with --preset"),
        ("reproduce hcim --seeds 3", "--seeds: not for hcim"),
        ("reproduce hcm", "there are nmpu, hcim"),
    ],
)
def test_mistakes_with_bit_sliced_presets(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    assert message in refused(capsys, *arguments.split())


def test_comparators_with_offsets_are_drawn_for_every_seed() -> None:
    """The first of two seeds is the one that stands alone; another seed is another chip."""
    noisy = (
        "evaluate",
        "--preset",
        "hcim_a",
        "--set",
        "readout.offset_sigma=3",
        "--digital",
        "float",
        "--digital",
        "nmpu",
    )
    found = {}
    for seeds in ("1", "2"):
        assert run(*noisy, "--images", "90", "--seeds", seeds, "--json", "out.json") == 0
        document = json.loads(Path("out.json").read_text())
        found[seeds] = [row["accuracies"] for row in document["rows"]]
        assert document["seeds"] == [*range(int(seeds))]
    assert [len(row) for row in found["2"]] == [2, 2]
    assert [row[:1] for row in found["2"]] == found["1"] and any(row[0] != row[1] for row in found["2"])


def test_a_bit_sliced_preset_has_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", "--preset", "hcim_a", "--images", "40", "--json", "out.json") == 0
    text = capsys.readouterr().out
    for part in ("resnet9s on digits, 40 images, hcim_a", "arrays + float", "arrays + FP16", "arrays + NMPU"):
        assert part in text
    document = json.loads(Path("out.json").read_text())
    assert [row["name"] for row in document["rows"]] == ["float", "FP16", "NMPU"]
    assert document["preset"]["scales"]["columns"] == 128
    assert run("presets") == 0
    assert "hcim_wide\n" in capsys.readouterr().out
