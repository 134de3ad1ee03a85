import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from golden_model.errors import UserError
from integration.zoo import datasets
from integration.zoo.datasets import SOURCES, Split
from integration.zoo.fetch import Archive, fetch
from integration.zoo.files import order_free_hash
from integration.zoo.readers import read_cifar, read_idx, read_pickle


@pytest.fixture
def closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("fetching failed (no network)")

    monkeypatch.setattr(datasets, "fetch", refuse)
    monkeypatch.delenv("NMPU_DATA", raising=False)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist_test(folder: Path, images: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))


def mnist_labels() -> np.ndarray:
    counts = SOURCES["mnist"].counts[Split.TEST]
    return np.repeat(np.arange(10, dtype=np.uint8), counts)


def test_digits_need_no_folder_and_split_by_the_documented_rule(closed_network: None) -> None:
    train, test = datasets.load("digits", split="train"), datasets.load("digits")
    assert (len(train), len(test)) == (1347, 450)
    assert test.images.shape == (450, 1, 32, 32) and test.images.dtype == torch.uint8
    assert (test.channels, test.classes, test.split) == (1, 10, Split.TEST)
    assert int(test.images.max()) == 255 and int(test.images.min()) == 0
    assert torch.equal(test.images[:, :, ::4, ::4], test.images[:, :, 3::4, 3::4])  # nearest neighbour
    per_class = torch.bincount(train.labels) / torch.bincount(test.labels)
    assert float((per_class - 3).abs().max()) < 0.1
    pixels = train.images / 255
    assert round(float(pixels.mean()), 4) == train.mean[0] and round(float(pixels.std()), 4) == train.std[0]


def test_normalised_images_have_mean_0_and_deviation_1(closed_network: None) -> None:
    x = datasets.load("digits", split="train").normalised()
    assert x.dtype == torch.float32
    assert abs(float(x.mean())) < 1e-3 and abs(float(x.std()) - 1) < 1e-3
    part = datasets.load("digits").first(10)
    assert len(part) == 10 and torch.equal(part.normalised(3, 5), part.normalised()[3:5])


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_without_a_folder_the_message_says_how_to_name_one(closed_network: None, name: str) -> None:
    with pytest.raises(UserError, match=f"{name} needs a folder.*--data or NMPU_DATA"):
        datasets.load(name)


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_an_empty_folder_names_what_was_looked_for(
    closed_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("NMPU_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"looked for .*no network.*name another folder") as caught:
        datasets.load(name)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean cifar10"):
        datasets.load("cifar-10")
    with pytest.raises(UserError, match="unknown split 'validation': allowed are train, test"):
        datasets.load("digits", split="validation")


@pytest.mark.parametrize("place", ["MNIST/raw", "raw", "."])
def test_wrong_data_are_told_apart(closed_network: None, tmp_path: Path, place: str) -> None:
    folder, labels = tmp_path / place, mnist_labels()
    images = np.zeros((len(labels), 28, 28), np.uint8)
    write_mnist_test(folder, images[:20], labels[:20])
    with pytest.raises(UserError, match="20 images and 20 labels, mnist has 10000"):
        datasets.load("mnist", tmp_path)
    write_mnist_test(folder, images, np.roll(labels, 1) // 2)
    with pytest.raises(UserError, match="images of each class"):
        datasets.load("mnist", tmp_path)
    write_mnist_test(folder, images, labels + 200)
    with pytest.raises(UserError, match="images of each class"):
        datasets.load("mnist", tmp_path)
    write_mnist_test(folder, images, labels)
    with pytest.raises(UserError, match="hash differs"):
        datasets.load("mnist", tmp_path)


def test_idx_files_are_read_plain_and_packed_and_refused_when_damaged(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "x"
    for raw in (idx(array), gzip.compress(idx(array))):
        path.write_bytes(raw)
        assert np.array_equal(read_idx(path), array)
        path.write_bytes(raw[:-3])
        with pytest.raises(UserError, match="truncated"):
            read_idx(path)
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match="no idx file"):
        read_idx(path)
    with pytest.raises(UserError, match="cannot read"):
        read_idx(tmp_path / "absent")


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickles_hold_plain_data_only(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "batch"
    data = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    path.write_bytes(pickle.dumps({b"data": data, b"labels": [3, 4]}, protocol=protocol))
    if protocol < 5:  # CIFAR's own protocols; 5 pickles arrays another way, which no published file uses
        images, labels = read_cifar([path, path], "labels")
        assert np.array_equal(images[2:], data.reshape(2, 3, 32, 32)) and labels.tolist() == [3, 4, 3, 4]
    for content in (Malicious(), {"data": Malicious()}, {"data": np.array([Malicious()], dtype=object)}, eval):
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        with pytest.raises(UserError, match="damaged or unsafe"):
            read_pickle(path)


def test_other_pickles_and_truncated_ones_are_refused(closed_network: None, tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    path = folder / "test_batch"
    data = np.zeros((2, 3072), np.uint8)
    whole = pickle.dumps({"data": data, "labels": [0, 1]}, protocol=2)
    for raw, message in (
        (whole, "2 images and 2 labels, cifar10 has 10000"),
        (whole[: len(whole) // 2], "truncated|damaged"),
        (b"", "truncated"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({"data": data}, protocol=2), "lacks 'data'"),
        (pickle.dumps({"data": data, "labels": ["a", "b"]}, protocol=2), "lacks 'data'"),
        (pickle.dumps({"data": data[:, :5], "labels": [0, 1]}, protocol=2), "lacks 'data'"),
    ):
        path.write_bytes(raw)
        with pytest.raises(UserError, match=message):
            datasets.load("cifar10", tmp_path)


def test_the_hash_ignores_order_and_sees_everything_else() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 1, 5, 5), dtype=np.uint8)
    labels = rng.integers(0, 10, 50)
    order = rng.permutation(50)
    reference = order_free_hash(images, labels)
    assert order_free_hash(images[order], labels[order]) == reference
    assert order_free_hash(images[order], labels) != reference
    changed = images.copy()
    changed[7, 0, 2, 2] ^= 1
    assert order_free_hash(changed, labels) != reference
    assert order_free_hash(images[:, :, ::-1], labels) != reference


def test_fetching_is_checked_and_whole_or_not_at_all(tmp_path: Path) -> None:
    import hashlib
    import tarfile

    content = tmp_path / "set"
    content.mkdir()
    (content / "file").write_text("x")
    packed = tmp_path / "set.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(content, "set")
    md5 = hashlib.md5(packed.read_bytes()).hexdigest()
    good = Archive(url=packed.as_uri(), md5=md5, leaves="set")
    plain = Archive(url=(content / "file").as_uri(), md5=hashlib.md5(b"x").hexdigest(), leaves="a/b")
    bad = Archive(url=packed.as_uri(), md5="0" * 32, leaves="set")
    absent = Archive(url=(tmp_path / "absent").as_uri(), md5=md5, leaves="c")
    target = tmp_path / "data"
    for archive, message in ((bad, "md5"), (absent, "failed")):
        with pytest.raises(UserError, match=message):
            fetch((archive,), target)
        assert not target.exists()
    fetch((good, plain), target)
    fetch((good,), target)  # an incomplete folder of that name is replaced
    assert (target / "set" / "file").read_text() == (target / "a" / "b").read_text() == "x"
    assert sorted(p.name for p in target.iterdir()) == ["a", "set"]


@pytest.mark.data
@pytest.mark.skipif("NMPU_DATA" not in os.environ, reason="NMPU_DATA names no folder with the real data sets")
@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100"])
def test_the_published_sets_pass_the_checks(name: str) -> None:
    known = SOURCES[name]
    for split in Split:
        if known.find(Path(os.environ["NMPU_DATA"]), split) is None:
            pytest.skip(f"{name} is not in NMPU_DATA")
    data = datasets.load(name, split="train")
    assert data.images.shape[1:] == (known.channels, 32, 32)
    pixels = data.images[::5].to(torch.float32) / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor(data.mean), atol=3e-3)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.tensor(data.std), atol=3e-3)
    assert len(datasets.load(name, split="test")) == 10_000
