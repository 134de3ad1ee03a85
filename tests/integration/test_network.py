"""A converted network gives the same bits whatever the batch, the threads and the kernels; saved and loaded too."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import EveryOperation, MeanHead, seeded

from golden_model.errors import UserError
from golden_model.nmpu_config import Input, NmpuConfig
from integration.mapping import store
from integration.mapping.network import ConvertedNetwork, LayerStatistics, convert
from integration.studies.layers import layer_rows
from sim.digital import FloatUnit, NmpuUnit
from sim.kernels import compiler_stands
from sim.presets import preset

pytestmark = pytest.mark.whole


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def images(count: int = 24) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def network() -> ConvertedNetwork:
    return convert(seeded(EveryOperation), "hermes", images(16), seed=3)


def everything(net: ConvertedNetwork, unit: str, batch: int, compiled: bool = False) -> list[torch.Tensor]:
    """Return the logits and all layers' codes, saturations and logits, image by image."""
    seen: dict[int, list[torch.Tensor]] = {}

    def watch(s: LayerStatistics) -> None:
        seen.setdefault(s.index, []).append(torch.cat([s.result.flatten(1), s.saturated.flatten(1).float()], 1))

    x = images()
    logits = [net.run(x[i : i + batch], unit, first=i, compiled=compiled, watch=watch) for i in range(0, len(x), batch)]
    return [torch.cat(logits), *(torch.cat(parts) for parts in seen.values())]


@pytest.mark.parametrize("unit", ["float", "FP16", "NMPU"])
def test_batch_and_threads_change_no_bit(network: ConvertedNetwork, unit: str) -> None:
    torch.set_num_threads(1)
    reference = everything(network, unit, 24)
    assert len(reference) == 9
    for batch, count in ((1, 1), (7, 1), (24, 2), (5, 2)):
        torch.set_num_threads(count)
        for a, b in zip(reference, everything(network, unit, batch), strict=True):
            assert torch.equal(a, b)


@pytest.mark.skipif(not compiler_stands(), reason="needs a C++ compiler")
@pytest.mark.parametrize("unit", ["float", "NMPU"])
def test_compiled_kernels_change_no_bit(unit: str) -> None:
    net = convert(seeded(MeanHead), "hermes", images(16))
    for a, b in zip(everything(net, unit, 24), everything(net, unit, 9, compiled=True), strict=True):
        assert torch.equal(a, b)


def test_conversion_does_not_depend_on_threads() -> None:
    nets = []
    for count in (1, 2):
        torch.set_num_threads(count)
        nets.append(convert(seeded(MeanHead), "hermes", images(16), seed=5))
    for unit in ("float", "FP16", "NMPU"):
        for one, two in zip(nets[0].prepared[unit], nets[1].prepared[unit], strict=True):
            assert one.layer == two.layer
            for a, b in zip(one.tiles, two.tiles, strict=True):
                assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_seeds_and_image_numbers_matter(network: ConvertedNetwork) -> None:
    x = images()
    assert not torch.equal(network.run(x, "NMPU", compiled=False), network.run(x, "NMPU", first=24, compiled=False))
    other = convert(seeded(EveryOperation), "hermes", images(16), seed=4)
    assert not torch.equal(network.run(x, "NMPU", compiled=False), other.run(x, "NMPU", compiled=False))


def test_saved_and_loaded_to_the_same_bits(network: ConvertedNetwork, tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    store.save(network, path)
    loaded = store.load(path)
    assert list(loaded.units) == ["float", "FP16", "NMPU"]
    for unit in loaded.units:
        for a, b in zip(everything(network, unit, 24), everything(loaded, unit, 24), strict=True):
            assert torch.equal(a, b)
    rows = [layer_rows(net, images(4)) for net in (network, loaded)]
    assert rows[0] == rows[1] and len(rows[0]) == 3 * 8
    assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]


@pytest.mark.parametrize("content", [b"", b"PK not a zip", b"x" * 1000])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not a converted network, or is damaged"):
        store.load(path)


def test_a_truncated_file_another_version_and_foreign_classes_are_refused(
    network: ConvertedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.npz"
    store.save(network, path)
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="damaged"):
        store.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="is not a converted network"):
        store.load(tmp_path / "other.npz")
    foreign = b'{"version": 1, "network": {"class": "os.system", "fields": {}}}'
    np.savez(tmp_path / "foreign.npz", json=np.frombuffer(foreign, np.uint8))
    with pytest.raises(UserError, match="is not a converted network"):
        store.load(tmp_path / "foreign.npz")
    monkeypatch.setattr(store, "VERSION", 2)
    with pytest.raises(UserError, match="layout 1, this version reads 2: convert again"):
        store.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        store.load(tmp_path / "missing.npz")


def test_signed_codes_and_other_presets_run() -> None:
    hermes = preset("hermes")
    code = dataclasses.replace(
        hermes,
        array=dataclasses.replace(hermes.array, rows=64, seconds=86400.0),
        readout=dataclasses.replace(hermes.readout, output=Input.CODE, full_scale=127),
    )
    unit = NmpuUnit(config=NmpuConfig(input=Input.CODE, input_bits=8))
    net = convert(seeded(EveryOperation), code, images(16), units=(FloatUnit(), unit))
    a, b = (net.run(images(), name, compiled=False).flatten() for name in ("float", "NMPU"))
    assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.97
    for x, y in zip(everything(net, "NMPU", 24), everything(net, "NMPU", 5), strict=True):
        assert torch.equal(x, y)


def test_units_have_names_of_their_own(network: ConvertedNetwork) -> None:
    with pytest.raises(UserError, match="two units are named 'NMPU'"):
        network.add(NmpuUnit())
    with pytest.raises(UserError, match="unit 'nmpu' is not in this network: it has float, FP16, NMPU"):
        network.run(images(1), "nmpu")
