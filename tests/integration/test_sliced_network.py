"""A trained network as integers on its arrays: the training forward, the golden arrays, the Verilog, the export."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from golden_model.errors import UserError
from golden_model.fixed import UQ, Rounding
from golden_model.nmpu_config import NmpuConfig
from golden_model.scale_array.combine import combine
from golden_model.scale_array.image import from_image, to_image
from golden_model.scale_array.model import encode, scale_array
from integration.mapping.array_rtl import ArrayBench, loads
from integration.mapping.operations import Flatten, Layer, SumPool
from integration.mapping.sliced import SlicedNetwork, Work, sym8
from integration.mapping.slicing import convert_sliced
from integration.studies.export_arrays import export_arrays
from integration.studies.reproduce.hcim import Census, reproduce
from integration.studies.sliced import Loaded, load
from integration.zoo.sliced import Sums, slice_network
from integration.zoo.sliced_training import calibrate
from sim.digital import FloatUnit, NmpuUnit
from sim.presets import HCIM_A, HCIM_B
from synth.verilog import elaborate

pytestmark = pytest.mark.whole  # numba compiles its kernels


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    return load("resnet9s", "digits", HCIM_A)


@pytest.fixture(scope="module")
def network(loaded: Loaded) -> SlicedNetwork:
    return convert_sliced(loaded.model, HCIM_A, loaded.calibration)


@pytest.fixture(scope="module")
def works(network: SlicedNetwork, loaded: Loaded) -> list[Work]:
    kept: list[Work] = []
    network.run(loaded.images(0, 3), watch=kept.append)
    return kept


def test_integers_with_float_affine_are_the_training_forward(network: SlicedNetwork, loaded: Loaded) -> None:
    images = loaded.images(0, 450)
    with torch.no_grad():
        trained = loaded.model(images)
    made = network.run(images)
    assert (made - trained).abs().max() < 1e-3
    assert float((made.argmax(1) == trained.argmax(1)).float().mean()) >= 0.999
    assert float((made.argmax(1) == loaded.test.labels[:450]).float().mean()) > 0.9


def test_every_total_is_that_of_the_golden_arrays(works: list[Work]) -> None:
    """All images, layers, tiles and columns: p from a convolution a plane, sums from the array's golden model."""
    assert len(works) == 7
    for work in works:
        sliced = work.arrays.sliced
        made = np.zeros((sliced.tiles, work.totals[:, 0].numel(), sliced.physical), np.int64)
        for given in loads(work, HCIM_A.scales):
            sums = scale_array(HCIM_A.scales, given.scales, encode(given.p)).values
            assert not sums[:, given.used :].any()
            made[given.tile, :, given.first : given.first + given.used] = sums[:, : given.used]
        total = combine(made.reshape(*made.shape[:2], -1, sliced.channels).transpose(1, 0, 2, 3))
        assert np.array_equal(total, work.totals.permute(0, 2, 3, 1).reshape(total.shape).numpy())


def test_units_behind_lose_little(network: SlicedNetwork, loaded: Loaded) -> None:
    labels, images = loaded.test.labels, loaded.images(0, 450)
    base = float((network.run(images).argmax(1) == labels).float().mean())
    for unit in ("FP16", "NMPU"):
        assert network.clips(unit).scales == network.clips(unit).offsets == 0
        assert float((network.run(images, unit).argmax(1) == labels).float().mean()) > base - 0.02
    poor = network.nmpu(scale=UQ(1, 1), guard=1)
    network.add(NmpuUnit(config=poor.config, name="poor"))  # the negative control
    assert float((network.run(images, "poor").argmax(1) == labels).float().mean()) < base - 0.03


def test_codes_in_between_do_not_round_twice(loaded: Loaded) -> None:
    """8-bit codes that a float unit leaves are encoded as the real value is, where no residual's code stands in it."""
    network = convert_sliced(loaded.model, HCIM_A, loaded.calibration, units=[FloatUnit()])
    images = loaded.images(0, 40)
    real: dict[str, Work] = {}
    codes: dict[str, Work] = {}
    network.run(images, watch=lambda work: real.update({work.arrays.name: work}))
    network.run(images, "float", watch=lambda work: codes.update({work.arrays.name: work}))
    checked = 0
    for index, operation in enumerate(network.graph.operations):
        if not isinstance(operation, Layer) or operation.name not in real:
            continue
        makers = [each for each in network.graph.operations[:index] if isinstance(each, Layer)]
        if len(makers) > 2 or any(each.residual is not None for each in makers):
            break
        if operation.source not in network.lost:
            continue  # resnet9s adds behind its ReLUs: half up
        assert network.scales[operation.source] < network.arrays[operation.name].input_step
        checked += 1
        differing = (real[operation.name].codes != codes[operation.name].codes).float().mean()
        assert differing < 1e-5  # float32 in another order; half up twice: every thirtieth
    assert checked


def test_a_unit_that_floors_rounds_down_by_itself(network: SlicedNetwork) -> None:
    """Half an LSB, one code of SQ(7,1), more in the offset of layers whose codes an encoder rounds again."""
    config = network.nmpu(rounding=Rounding.FLOOR).config
    network.add(NmpuUnit(config=config, name="floors"))
    half_up, floors = network.prepared["NMPU"], network.prepared["floors"]
    assert network.again & half_up.keys() and half_up.keys() - network.again
    for name in half_up:
        more = floors[name].tiles[0]["offset"] - half_up[name].tiles[0]["offset"]
        assert more.unique().tolist() == [int(name in network.again)]


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_rounded_down_then_half_up_is_half_up(bits: int) -> None:
    """Every value in steps of 1/8 of a code's LSB; twice half up is too high for one in 2^(bits + 1)."""
    sixteenths = torch.arange(0, 8 * 16 << bits)
    once, code = sixteenths / (8 << bits), sixteenths / 8
    half_up = torch.floor(once + 0.5)
    down = sym8(code - 0.5, 1.0)
    assert torch.equal(torch.floor(down / (1 << bits) + 0.5)[code < 127], half_up[code < 127])
    twice = torch.floor(torch.floor(code + 0.5) / (1 << bits) + 0.5)
    assert float((twice > half_up).float().mean()) == 0.5 / (1 << bits) and not (twice < half_up).any()


class Blocks(nn.Module):
    """Two residual blocks, their ReLU in front of the add or behind it; the second adds what a pooling moved."""

    def __init__(self, before: bool, flat: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1 if i == 0 else 8, 8, 3, padding=1, bias=False) for i in range(6))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(6))
        self.linear = nn.Linear(128 if flat else 8, 10)
        self.before, self.flat = before, flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norms[0](self.convs[0](x)))
        for i in (1, 3):
            y = self.norms[i + 1](self.convs[i + 1](F.relu(self.norms[i](self.convs[i](x)))))
            x = F.relu(y) + x if self.before else F.relu(y + x)
            x = F.max_pool2d(x, 2)
        y = F.relu(self.norms[5](self.convs[5](x)))
        read = torch.flatten(x, 1) if self.flat else y.mean((2, 3))  # flat: what a sliced layer reads as well
        logits: torch.Tensor = self.linear(read)
        return logits


@pytest.mark.parametrize("before", [False, True])
def test_what_rounding_down_takes_is_given_back(before: bool) -> None:
    """8-bit values that residuals and averages read are right on average, channel by channel, on other images."""
    torch.manual_seed(1)
    model, seen = slice_network(Blocks(before), HCIM_A), torch.randn(64, 1, 16, 16)  # no two values alike
    for sums in (Sums.INTEGER, Sums.COMPARATOR):
        calibrate(model, seen, sums)
    network = convert_sliced(model, HCIM_A, seen, units=[FloatUnit()])
    assert network.lost or before
    images, checked = torch.randn(64, 1, 16, 16), 0
    values = {"real": {0: images}, "codes": {0: images}, "read": {0: images}}
    for index, operation in enumerate(network.graph.operations):
        layer = isinstance(operation, Layer | SumPool)
        # one rounding at a time: a layer's real value is that of what it reads, a move's that of what it moves
        real = network.step(index, values["read" if layer else "real"])
        codes = read = network.step(index, values["codes"], "float")
        if index + 1 in network.scales:
            scale = network.scales[index + 1]
            read = codes * scale + network.lost.get(index + 1, 0.0)
            bias = (read - real).mean((0, 2, 3)) / scale
            assert bias.abs().max() < 0.25 and bias.mean().abs() < 0.05  # totals are integers: no even spread
            checked += 1
        for name, value in (("real", real), ("codes", codes), ("read", read)):
            values[name][index + 1] = value
    assert checked == 8 and len(network.lost) == (2 if before else 7)


def test_a_value_that_is_flattened_gets_back_what_it_lost() -> None:
    torch.manual_seed(1)
    model, seen = slice_network(Blocks(False, flat=True), HCIM_A), torch.randn(64, 1, 16, 16)
    for sums in (Sums.INTEGER, Sums.COMPARATOR):
        calibrate(model, seen, sums)
    network = convert_sliced(model, HCIM_A, seen, units=[FloatUnit()])
    flat = next(index + 1 for index, each in enumerate(network.graph.operations) if isinstance(each, Flatten))
    assert network.lost[flat].shape == (128,) and bool((network.lost[flat] > 0).all())
    assert (network.run(seen, "float") - network.run(seen)).abs().max() < 1


def test_batches_change_nothing(network: SlicedNetwork, loaded: Loaded) -> None:
    whole = network.run(loaded.images(0, 24), "NMPU")
    parts = [network.run(loaded.images(n, n + 5), "NMPU") for n in range(0, 20, 5)]
    assert torch.equal(torch.cat(parts), whole[:20])


def test_the_census_counts_what_the_hardware_counts(network: SlicedNetwork, works: list[Work]) -> None:
    census = Census()
    for work in works:
        census(work)
    for layer, work in zip(census.layers(network), works, strict=True):
        p = [load.p[..., : load.used] for load in loads(work, HCIM_A.scales)]
        active = sum(int((one != 0).sum()) for one in p)
        assert layer.activity.computes == active
        assert layer.plus == sum(int((one == 1).sum()) for one in p)
        assert layer.zeros == sum(one.size for one in p) - active
        final = sum(int((one[:, -1] != 0).sum()) for one in p)
        assert layer.activity.stores == active - final
        assert layer.activity.reads == active + sum(one[:, -1].size for one in p) - final


def test_scales_survive_the_memory_image(network: SlicedNetwork, works: list[Work]) -> None:
    for given in loads(works[-1], HCIM_A.scales):
        image = to_image(HCIM_A.scales, given.scales)
        assert np.array_equal(from_image(HCIM_A.scales, image.splitlines()), given.scales)
        with pytest.raises(UserError, match=r"digits a row|rows"):
            from_image(HCIM_B.scales, image.splitlines())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_layer_through_the_compiled_array(works: list[Work]) -> None:
    bench = ArrayBench(HCIM_A.scales)
    bench.take(works[-1])
    assert bench.sums == works[-1].totals[:, 0].numel() * works[-1].arrays.sliced.tiles * 2 * 128
    assert (bench.wrong, bench.totals, bench.flags, bench.miscounted) == (0, 0, 0, 0)
    assert bench.cycles > 0 and bench.work.computes > 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_planted_fault_is_counted(works: list[Work]) -> None:
    broken = re.sub(r"(assign differ_\d+ = )~", r"\1", elaborate("scale_array", HCIM_A.scales))  # the published select
    bench = ArrayBench(HCIM_A.scales, text=broken)
    bench.take(works[-1])
    assert bench.wrong > 0 and bench.totals > 0


@pytest.mark.simulator
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")
def test_an_exported_layer_passes_in_icarus(works: list[Work], tmp_path: Path) -> None:
    """A full layer, real activations, scales from the memory image."""
    folder = tmp_path / "arrays"
    assert "sums; there: iverilog" in export_arrays(works[-1:], HCIM_A.scales, folder)
    command = "iverilog -g2005 -o bench scale_array.v bench.v && vvp -n bench"
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("PASS: "), done.stdout
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {load["layer"] for load in manifest["loads"]} == {"res2.conv2"}
    sums = folder / "load0_sums.hex"
    lines = sums.read_text().splitlines()
    lines[3] = f"{int(lines[3], 16) ^ 1:032x}"
    sums.write_text("\n".join(lines) + "\n")
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("FAIL: 1 errors")
    with pytest.raises(UserError, match="something else already"):
        export_arrays(works[:1], HCIM_A.scales, folder)
    with pytest.raises(UserError, match=r"--layer 'fc': the sliced layers are conv2, "):
        export_arrays(works, HCIM_A.scales, tmp_path / "other", layer="fc")


def test_sums_that_could_overflow_are_refused(loaded: Loaded) -> None:
    narrow = replace(HCIM_A, scales=replace(HCIM_A.scales, scale_bits=2, sum_bits=4))
    with pytest.raises(UserError, match=r"conv2: the scales of a column add up to \d+ over its input bits"):
        convert_sliced(loaded.model, narrow, loaded.calibration[:8])
    with pytest.raises(UserError, match=r"conv2 was trained for hcim_a: hcim_b has other rows"):
        convert_sliced(loaded.model, HCIM_B, loaded.calibration[:8])


def test_comparators_that_miss_cost_accuracy(loaded: Loaded) -> None:
    noisy = replace(HCIM_A, readout=replace(HCIM_A.readout, offset_sigma=8.0))
    first, again = (convert_sliced(loaded.model, noisy, loaded.calibration[:32], units=(), seed=0) for _ in range(2))
    other = convert_sliced(loaded.model, noisy, loaded.calibration[:32], units=(), seed=1)
    images = loaded.images(0, 100)
    assert torch.equal(first.run(images), again.run(images)) and not torch.equal(first.run(images), other.run(images))
    right = (first.run(images).argmax(1) == loaded.test.labels[:100]).float().mean()
    assert right < 0.9


def test_units_that_do_not_fit_are_refused(network: SlicedNetwork) -> None:
    with pytest.raises(UserError, match="totals are codes of 12 bits"):
        network.add(NmpuUnit(config=NmpuConfig(), name="counts"))
    with pytest.raises(UserError, match="two units are named 'NMPU'"):
        network.add(network.nmpu())
    with pytest.raises(UserError, match="unit 'x' is not in this network"):
        network.run(torch.zeros(1, 1, 32, 32), "x")


def test_the_papers_tables_on_digits() -> None:
    report = reproduce(network="resnet9s", dataset="digits", images=60)
    lines = {line.what.strip(): line for line in report.accuracy}
    assert report.same_class >= 99.9
    ours = lines["ternary, trained"].ours
    assert ours is not None and ours > 90
    assert [line.what for line in report.granularity] == ["BIT_SLICE", "COLUMN", "CHANNEL", "LAYER"]
    assert report.work is not None and len(report.work.layers) == 7
    json.dumps(report.document())
