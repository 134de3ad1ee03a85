"""The task `accuracy`: how many images a network gets right on a tile with one digital unit and one seed.

Units of one chain (same tile, calibration, images and seed) are separate points on the same devices and noise, so the
FP16 baseline is computed once however many formats stand beside it. Drops are paired when the points are summarised.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from golden_model.configuration import plain, replaced
from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input, NmpuConfig
from integration.mapping.calibrated import Calibrated, Calibration
from integration.mapping.drift import Age, aged
from integration.mapping.network import ConvertedNetwork, convert
from integration.studies.evaluate import Row as Paired
from integration.studies.evaluate import drop, fp32_correct, pack, unit_classes, unpack, worth_compiling
from integration.studies.layers import layer_rows
from integration.studies.sweep.task import (
    Better,
    Estimate,
    Line,
    Measure,
    Row,
    Task,
    by_setting,
    estimate,
    over_seeds,
    source_hash,
)
from integration.zoo import datasets, networks
from integration.zoo.checkpoint import read_card
from integration.zoo.sources import Split, source
from integration.zoo.trained import trained, weights
from sim.digital import Digital, FloatUnit, Fp16Unit, NmpuUnit
from sim.presets import HERMES, preset
from sim.tile import Tile

LAYER_IMAGES = 32
"""Test images that the error of a layer is measured on."""
BATCH = 100
"""Images at a time: memory, never a result."""


class Unit(Enum):
    """What finishes the work of the tiles; `fp32` is the float network without any."""

    FP32 = "fp32"
    FLOAT = "float"
    FP16 = "fp16"
    NMPU = "nmpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """One point: the fields that a study may set or vary."""

    network: str = "resnet9s"
    """A name that ships, or `package.module:factory`."""
    dataset: str = "digits"
    checkpoint: str | None = None
    """A file of weights; the shipped ones unless named."""
    images: int | None = None
    """The first test images only."""
    seed: int = 0
    """Draws devices, converters and read noise."""
    preset: str = "hermes"
    """The tile whose values `tile` starts from."""
    tile: Tile = HERMES
    """The analog chain."""
    calibration: Calibration = field(default_factory=Calibration)
    age: Age = field(default_factory=Age)
    """How long after calibration the images come, and what is done about drift."""
    digital: Unit = Unit.NMPU
    fp16: Fp16Config = field(default_factory=Fp16Config)
    """What the FP16 unit is built for; its input follows the tile."""
    nmpu: NmpuConfig = field(default_factory=NmpuConfig)
    """What the NMPU is built for; its input follows the tile."""

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise UserError(f"images = {self.images}: at least 1")
        if self.seed < 0:
            raise UserError(f"seed = {self.seed}: 0 or more")

    def unit(self) -> Digital:
        """Return the digital unit."""
        match self.digital:
            case Unit.FP16:
                return Fp16Unit(config=self.fp16)
            case Unit.NMPU:
                return NmpuUnit(config=self.nmpu)
        return FloatUnit()


Point = TypeVar("Point", bound=Accuracy)


def configure(fields: Mapping[str, Any], where: str, base: Point) -> Point:
    """Return `base` with nested fields replaced: preset, then tile, then units, whose input follows the tile."""
    units = {key: fields[key] for key in ("fp16", "nmpu") if key in fields}
    tile = {key: fields[key] for key in ("tile",) if key in fields}
    point = replaced(base, {k: v for k, v in fields.items() if k not in units and k not in tile}, where)
    point = replaced(replace(point, tile=preset(point.preset)), tile, where)
    line: dict[str, Any] = {"input": point.tile.readout.output}
    line["input_bits"] = max(point.tile.readout.bits, 12)
    try:
        # a code wider than an FP16 unit takes is refused where there is such a unit alone
        fp16 = replace(point.fp16, **line) if point.digital is Unit.FP16 or "fp16" in units else point.fp16
        point = replace(point, fp16=fp16, nmpu=replace(point.nmpu, **line))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return replaced(point, units, where)


@functools.lru_cache(maxsize=64)
def _file_hash(path: Path, _modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _normalisation(path: Path) -> list[Any] | None:
    """Return mean and std that a checkpoint's sidecar names, None where there is none."""
    sidecar = path.with_suffix(".json")
    return _of_card(path, sidecar.stat().st_mtime_ns) if sidecar.is_file() else None


@functools.lru_cache(maxsize=64)
def _of_card(path: Path, _modified: int) -> list[Any] | None:
    card = read_card(path)
    return None if card is None else [list(card.mean), list(card.std)]


def content(point: Accuracy) -> dict[str, Any]:
    """Return all that decides a point's result; fields that do not reach it (another unit's formats) are left out.

    Errors: UserError for a network, data set or checkpoint that is not there.
    """
    known = source(point.dataset)
    counts = known.counts[Split.TEST]
    total = counts * known.classes if isinstance(counts, int) else sum(counts)
    if ":" not in point.network and point.network not in networks.NETWORKS:
        networks.build(point.network)  # which names the nearest
    path = weights(point.network, point.dataset, Path(point.checkpoint) if point.checkpoint else None)
    if path is not None and not path.is_file():
        raise UserError(f"checkpoint {path} does not exist; check the path")
    entries: dict[str, Any] = {
        "network": point.network,
        "network_source": source_hash([point.network.partition(":")[0]]) if ":" in point.network else None,
        "checkpoint": None if path is None else _file_hash(path, path.stat().st_mtime_ns),
        "normalisation": (None if path is None else _normalisation(path)) or [list(known.mean), list(known.std)],
        "dataset": point.dataset,
        "data": {str(split): known.hashes[split] for split in Split},
        "images": total if point.images is None else min(point.images, total),
    }
    unit: dict[str, Any] = {"kind": point.digital.value}
    if point.digital is Unit.FP32:
        return entries | {"unit": unit}
    tile = {key: value for key, value in plain(point.tile).items() if key != "name"}
    if point.digital is Unit.FP16:
        unit |= plain(point.fp16)
    if point.digital is Unit.NMPU:
        unit |= plain(point.nmpu)
    chain: dict[str, Any] = {"tile": tile, "calibration": plain(point.calibration), "seed": point.seed}
    if point.age.seconds > 0:
        chain["age"] = plain(point.age)
    return entries | chain | {"unit": unit}


def share(point: Accuracy) -> Accuracy:
    """Return what points on the same calibrated chain have in common: the configuration without the digital unit."""
    return replace(point, digital=Unit.FLOAT, fp16=Fp16Config(), nmpu=NmpuConfig())


class Loaded(NamedTuple):
    """A network and its images."""

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    test: datasets.Dataset


@functools.lru_cache(maxsize=1)
def _loaded(network: str, dataset: str, checkpoint: str | None, images: int | None) -> Loaded:
    test = datasets.load(dataset, None, Split.TEST)
    model, mean, std = trained(network, test, Path(checkpoint) if checkpoint else None)
    return Loaded(model, mean, std, test if images is None else test.first(images))


@functools.lru_cache(maxsize=1)
def _chain(point: Accuracy) -> Calibrated:
    """Return the calibrated chain of a point without its unit; the last one is kept for the next unit on it."""
    loaded = _loaded(point.network, point.dataset, point.checkpoint, point.images)
    training = datasets.load(point.dataset, None, Split.TRAIN)
    images = datasets.normalise(training.images[: point.calibration.images], loaded.mean, loaded.std)
    network = convert(loaded.model, point.tile, images, units=(), seed=point.seed, calibration=point.calibration)
    return aged(network.calibrated, images, point.age)


def run(point: Accuracy, *, classes: bool = False) -> dict[str, Any]:
    """Compute a point: images right, which ones, parameters clipped, error of the layers' codes.

    `classes` keeps the class of every image too, which flips are counted from.
    """
    loaded = _loaded(point.network, point.dataset, point.checkpoint, point.images)

    def images(start: int, stop: int) -> Any:
        return datasets.normalise(loaded.test.images[start:stop], loaded.mean, loaded.std)

    labels = loaded.test.labels
    if point.digital is Unit.FP32:
        return _result(fp32_correct(loaded.model, images, labels))
    network = ConvertedNetwork(_chain(share(point)))
    unit = point.unit()
    network.add(unit)
    compiled = worth_compiling(len(labels))
    found = unit_classes(
        network, unit.name, images, len(labels), batch=BATCH, compiled=compiled, progress=lambda _: None
    )
    layers = layer_rows(network, images(0, min(LAYER_IMAGES, len(labels))))
    clips = network.clips(unit.name)
    kept = pack_classes(found) if classes else {}
    return (
        _result(np.asarray(found == labels.numpy()))
        | kept
        | {
            "clipped": clips.scales + clips.offsets + clips.zeros,
            "clips": {"scales": clips.scales, "offsets": clips.offsets, "zeros": clips.zeros},
            "error": round(float(np.mean([layer.error for layer in layers])), 4),
            "saturated": round(float(np.mean([layer.saturated for layer in layers])), 4),
            "bits": parameter_bits(point),
        }
    )


def _result(correct: NDArray[np.bool_]) -> dict[str, Any]:
    return {"right": int(correct.sum()), "accuracy": 100.0 * float(correct.mean()), **pack(correct)}


def pack_classes(classes: NDArray[np.int64]) -> dict[str, Any]:
    """Return the class of each image as plain data: bits an image, and the bits, hexadecimal."""
    width = max(int(classes.max()).bit_length(), 1)
    bits = classes[:, None] >> np.arange(width) & 1
    return {"class_bits": width, "classes": np.packbits(bits.astype(np.uint8)).tobytes().hex()}


def unpack_classes(result: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return what `pack_classes` packed."""
    width = result["class_bits"]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(result["classes"]), np.uint8))[: result["images"] * width]
    return bits.reshape(-1, width) @ (1 << np.arange(width))


def parameter_bits(point: Accuracy) -> int | None:
    """Return the bits of parameters that a unit stores a column, residual scale left out; None for the float unit.

    FP16: two scales, offset, gamma, beta of 16 bits. NMPU: scales, offset, the flag that exchanges them, the shift;
    with `batch_norm` also its scale, flag, shift and offset.
    """
    if point.digital is Unit.FP16:
        return 16 * (5 if point.fp16.input is Input.COUNTS else 4)
    if point.digital is not Unit.NMPU:
        return None
    n = point.nmpu
    bits = n.scale.bits * (2 if n.input is Input.COUNTS else 1) + n.offset.bits + 1 + n.max_column_shift.bit_length()
    return bits + n.batch_norm * (n.bn_scale.bits + n.bn_offset.bits + 1 + n.max_bn_shift.bit_length())


def _on(row: Row) -> str:
    """Return what tells a row's chain from others: everything but the unit."""
    return json.dumps({k: v for k, v in row.configuration.items() if k != "unit"}, sort_keys=True)


def baselines(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the FP16 row of each chain: the only one, or the one that sums in FP16, as drops are defined."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.configuration["unit"]["kind"] == Unit.FP16.value:
            found.setdefault(_on(row), []).append(row)
    chosen: dict[str, Row] = {}
    for chain, candidates in found.items():
        plainest = [row for row in candidates if not row.configuration["unit"]["int8"]] or candidates
        if len(plainest) == 1:
            chosen[chain] = plainest[0]
    return chosen


def summary(rows: Sequence[Row], measures: Sequence[Measure]) -> list[Line]:
    """Return a line a setting; where every seed has its FP16 baseline, paired drop, discordant images and flips too."""
    base = baselines(rows)
    lines = {json.dumps(line.setting, sort_keys=True): line for line in over_seeds(rows, measures)}
    for setting, group in by_setting(rows):
        pairs = [(base.get(_on(row)), row) for row in group]
        if any(b is None or b is row for b, row in pairs):
            continue
        ours = Paired(name="unit", correct=[unpack(row.result) for _, row in pairs])
        theirs = Paired(name="baseline", correct=[unpack(b.result) for b, _ in pairs if b is not None])
        d = drop(theirs, ours)
        key = json.dumps(setting, sort_keys=True)
        within = None if d.over_images != d.over_images else d.over_images
        error = None if d.over_seeds != d.over_seeds else d.over_seeds
        extra = {
            "drop": Estimate(mean=d.mean, error=error, within=within),
            "worse": estimate([float(d.worse)]),
            "better": estimate([float(d.better)]),
        }
        if "classes" in group[0].result:
            apart = [unpack_classes(b.result) != unpack_classes(row.result) for b, row in pairs if b is not None]
            extra["flips"] = estimate([100.0 * float(images.mean()) for images in apart])
        lines[key] = replace(lines[key], estimates=lines[key].estimates | extra)
    return list(lines.values())


ACCURACY = Task(
    base=Accuracy(),
    run=run,
    configure=functools.partial(configure, base=Accuracy()),
    content=content,
    share=share,
    summary=summary,
    depends=(
        "golden_model", "sim", "integration.mapping", "integration.studies.evaluate", "integration.studies.layers",
        "integration.zoo.checkpoint", "integration.zoo.datasets", "integration.zoo.networks", "integration.zoo.readers",
        "integration.zoo.sources", "integration.zoo.trained",
    ),
    # numpy promises no stream of random numbers between releases, scipy no last bit of a quantile, torch no FP32 logit:
    # a result of another release is another result, so an update computes again instead of mixing the two
    releases=("numpy", "scipy", "torch"),
    measures=(
        Measure(name="accuracy", title="top-1", unit="%", better=Better.HIGHER),
        Measure(name="drop", title="drop", unit="points", better=Better.LOWER),
        Measure(name="worse", title="worse", unit="images", digits=0, better=Better.LOWER, brief=False),
        Measure(name="better", title="better", unit="images", digits=0, better=Better.HIGHER, brief=False),
        Measure(name="clipped", title="clipped", unit="parameters", digits=1, better=Better.LOWER),
        Measure(name="error", title="error", unit="LSB", digits=3, better=Better.LOWER, brief=False),
        Measure(name="saturated", title="saturated", unit="%", digits=2, better=Better.LOWER, brief=False),
        Measure(name="bits", title="parameters", unit="bits a column", digits=0, better=Better.LOWER, brief=False),
    ),
    note=(
        "Drop: accuracy of the FP16 unit on the same devices, noise and images minus the line's, in points, paired; "
        "its standard errors are over seeds and, in brackets, over images. Worse and better: images that only FP16, "
        "or only the line, gets right, all seeds. Clipped: scales too large, offsets beyond their format, columns "
        "whose scales round to 0. Error: RMS of a layer's codes against the exact result for the same inputs, mean "
        f"over layers, first {LAYER_IMAGES} images, output LSB, whose size is the chain's own: it compares units on "
        "one chain. Parameters: bits stored for a column, without a residual's."
    ),
)  # fmt: skip
"""Accuracy of a network on a tile: rows FP32, float, FP16 and NMPU of `nmpu evaluate`, each a point of its own."""
