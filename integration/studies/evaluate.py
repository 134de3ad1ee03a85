"""Accuracy of a network on a tile preset: the same chain, the same images, one row a digital unit.

Paired: every unit sees the same programmed devices, the same noise and the same calibration of a seed. A drop is the
accuracy of the FP16 unit (the baseline) minus a unit's, in percentage points.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from golden_model.configuration import plain
from golden_model.errors import UserError
from integration.mapping.calibrated import Calibration
from integration.mapping.chips import Compared
from integration.mapping.network import UNITS, ConvertedNetwork, convert
from integration.mapping.quantise import Clips
from integration.mapping.rtl import Fp16Rtl, NmpuRtl
from integration.studies.log import Log, OtherFileError
from sim.digital import Digital
from sim.kernels import compiler_stands
from sim.tile import Tile

FP32_BATCH = 250
"""The FP32 row runs at this batch, whatever the caller's: float logits differ in the last bits between batches."""
WORTH_COMPILING = 3000
"""Images a unit from which fusing its kernels pays for the seconds that the compiler takes."""

Progress = Callable[[str, int, int], None]
"""Told what runs, images done and images in all."""


@dataclass(slots=True, kw_only=True)
class Row:
    """One unit over all seeds."""

    name: str
    correct: list[NDArray[np.bool_]] = field(default_factory=list)
    """Per seed: which images were classified correctly."""
    seconds: float = 0.0
    clips: Clips = field(default_factory=Clips)
    compared: Compared | None = None
    """Of compiled Verilog: what was compared with the golden model."""

    @property
    def accuracies(self) -> list[float]:
        """Return the accuracy of each seed, %."""
        return [100.0 * float(c.mean()) for c in self.correct]

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy over seeds, %."""
        return float(np.mean(self.accuracies))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """How much worse a row is than the baseline, paired image by image."""

    mean: float
    """Mean over seeds, percentage points."""
    over_seeds: float
    """Its standard error over seeds; NaN for one seed."""
    over_images: float
    """Its standard error over images (the seeds' mean difference of each image)."""
    worse: int
    """Discordant pairs, summed over seeds: baseline right, this row wrong."""
    better: int
    """Discordant pairs the other way."""


def drop(baseline: Row, row: Row) -> Drop:
    """Return the paired drop of `row` against `baseline`."""
    differences = [
        100.0 * (float(b.mean()) - float(r.mean())) for b, r in zip(baseline.correct, row.correct, strict=True)
    ]
    both = list(zip(baseline.correct, row.correct, strict=True))
    per_image = np.mean([b.astype(np.float64) - r for b, r in both], axis=0)
    seeds, images = len(both), len(per_image)
    return Drop(
        mean=float(np.mean(differences)),
        over_seeds=float(np.std(differences, ddof=1) / math.sqrt(seeds)) if seeds > 1 else math.nan,
        over_images=100.0 * float(np.std(per_image, ddof=1)) / math.sqrt(images) if images > 1 else math.nan,
        worse=sum(int((b & ~r).sum()) for b, r in both),
        better=sum(int((r & ~b).sum()) for b, r in both),
    )


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """The table: FP32, then one row a unit."""

    network: str
    dataset: str
    preset: Tile
    units: tuple[Digital, ...]
    calibration: Calibration
    seeds: tuple[int, ...]
    images: int
    fp32: Row
    rows: list[Row]
    baseline: str | None
    """The row that drops are measured against: the first FP16 unit, else the first row."""

    def row(self, name: str) -> Row:
        """Return a row by its unit's name."""
        return next(row for row in self.rows if row.name == name)

    def drops(self) -> dict[str, Drop]:
        """Return the drop of each row but the baseline."""
        base = self.row(str(self.baseline))
        return {row.name: drop(base, row) for row in self.rows if row is not base}

    def summary(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        drops = self.drops()

        def of(row: Row) -> dict[str, Any]:
            entry: dict[str, Any] = {"name": row.name, "accuracy": row.accuracy, "accuracies": row.accuracies}
            if row is not self.fp32:
                entry["clips"] = plain(row.clips)
            if row.compared is not None:
                entry["compared"] = row.compared._asdict()
            if row.name in drops:
                entry["drop"] = {
                    k: None if isinstance(v, float) and math.isnan(v) else v for k, v in plain(drops[row.name]).items()
                }
            entry["seconds"] = round(row.seconds, 2)
            return entry

        return {
            "network": self.network,
            "dataset": self.dataset,
            "images": self.images,
            "seeds": list(self.seeds),
            "preset": plain(self.preset),
            "calibration": plain(self.calibration),
            "units": [plain(unit) for unit in self.units],
            "baseline": self.baseline,
            "rows": [of(self.fp32), *map(of, self.rows)],
        }


class Kept(NamedTuple):
    """What one unit did with one seed."""

    correct: NDArray[np.bool_]
    seconds: float
    clips: Clips
    compared: Compared | None = None


def pack(correct: NDArray[np.bool_]) -> dict[str, Any]:
    """Return which images were right as plain data: their number, and a bit an image, hexadecimal."""
    return {"images": len(correct), "correct": np.packbits(correct).tobytes().hex()}


def unpack(entry: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return what `pack` packed."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(entry["correct"]), np.uint8))
    return bits[: entry["images"]].astype(bool)


class Journal:
    """Finished rows of an evaluation in a file, for the next try. A file of another evaluation is written anew.

    `key` names everything that decides a result.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.log = Log(path, {"format": "nmpu evaluation journal", "version": 1, "key": key})
        self.entries: dict[str, Any] = {}
        self._other = False
        try:
            self.entries = {record["row"]: record for record in self.log.records() if "row" in record}
        except OtherFileError:
            self._other = True  # left aside until there is something to keep

    def kept(self, seed: int, unit: str) -> Kept | None:
        """Return what was kept of a unit and seed."""
        entry = self.entries.get(f"{seed} {unit}")
        if entry is None:
            return None
        compared = Compared(**entry["compared"]) if "compared" in entry else None
        return Kept(unpack(entry), entry["seconds"], Clips(**entry["clips"]), compared)

    def keep(self, seed: int, unit: str, kept: Kept) -> None:
        """Keep what a unit did with a seed."""
        name = f"{seed} {unit}"
        clips = plain(kept.clips)
        if self._other:
            self.log.path.unlink(missing_ok=True)
            self._other = False
        entry = {"row": name, "seconds": kept.seconds, "clips": clips, **pack(kept.correct)}
        self.entries[name] = entry | ({"compared": kept.compared._asdict()} if kept.compared else {})
        self.log.append(self.entries[name])


def worth_compiling(images: int) -> bool:
    """Return whether fusing the kernels pays for so many images a unit, and can be done."""
    return images >= WORTH_COMPILING and compiler_stands()


def compared(unit: Digital) -> Compared | None:
    """Return what a unit of compiled Verilog has been compared in so far, None for others."""
    return unit.bench.compared if isinstance(unit, NmpuRtl | Fp16Rtl) else None


def fp32_correct(model: nn.Module, images: Callable[[int, int], Tensor], labels: Tensor) -> NDArray[np.bool_]:
    """Return which images the float model classifies correctly."""
    model = model.eval()
    guesses = []
    with torch.inference_mode():
        for start in range(0, len(labels), FP32_BATCH):
            guesses.append(model(images(start, min(start + FP32_BATCH, len(labels)))).argmax(1))
    return np.asarray((torch.cat(guesses) == labels).numpy())


def unit_classes(
    network: ConvertedNetwork,
    unit: str,
    images: Callable[[int, int], Tensor],
    count: int,
    *,
    batch: int,
    compiled: bool,
    progress: Callable[[int], None],
) -> NDArray[np.int64]:
    """Return the class that a converted network gives each of `count` images with one unit; the first one in a tie."""
    guesses = []
    for start in range(0, count, batch):
        stop = min(start + batch, count)
        guesses.append(network.run(images(start, stop), unit, first=start, compiled=compiled).argmax(1))
        progress(stop)
    return np.asarray(torch.cat(guesses).numpy())


def evaluate(
    model: nn.Module,
    preset: Tile,
    calibration_images: Tensor,
    images: Callable[[int, int], Tensor] | Tensor,
    labels: Tensor,
    *,
    units: Sequence[Digital] = UNITS,
    seeds: Sequence[int] = (0,),
    batch: int = 100,
    calibration: Calibration | None = None,
    compiled: bool | None = None,
    network: str = "model",
    dataset: str = "data",
    progress: Progress = lambda *_: None,
    converted: Callable[[ConvertedNetwork], None] = lambda _: None,
    journal: Journal | None = None,
) -> Evaluation:
    """Evaluate `model` on `preset` with each unit and seed.

    `images`: normalised test images, or a function of (start, stop) that returns some. `converted` is called with the
    network of the first seed. The batch changes memory and time, never a result. `journal` keeps finished rows, so
    that an interrupted evaluation goes on where it stopped.
    """
    if not units or not seeds or batch < 1 or not len(labels):
        raise UserError("an evaluation takes at least one unit, one seed, one image and a batch of 1 or more")
    calibration = Calibration() if calibration is None else calibration
    get = (lambda start, stop: images[start:stop]) if isinstance(images, Tensor) else images
    if compiled is None:
        compiled = worth_compiling(len(labels) * len(seeds))
    names = [unit.name for unit in units]
    if len(set(names)) != len(names):
        raise UserError(f"units share a name: {', '.join(names)}; give each its own")
    half = next((name for name in names if name.startswith("FP16")), names[0])
    result = Evaluation(
        network=network,
        dataset=dataset,
        preset=preset,
        units=tuple(units),
        calibration=calibration,
        seeds=tuple(seeds),
        images=len(labels),
        fp32=Row(name="FP32"),
        rows=[Row(name=name) for name in names],
        baseline=half,
    )
    start = time.perf_counter()
    correct = fp32_correct(model, get, labels)
    result.fp32.correct = [correct]
    result.fp32.seconds = time.perf_counter() - start
    total, done = len(labels) * len(units) * len(seeds), 0
    for seed in seeds:
        kept = {row.name: journal.kept(seed, row.name) if journal else None for row in result.rows}
        net = None
        if seed == seeds[0] or None in kept.values():
            progress(f"seed {seed}: calibration", done, total)
            net = convert(model, preset, calibration_images, units=units, seed=seed, calibration=calibration)
        if net is not None and seed == seeds[0]:
            converted(net)
        for row in result.rows:
            entry = kept[row.name]
            if entry is None:
                assert net is not None
                what, before = f"seed {seed}: analog + {row.name}", done
                progress(what, done, total)
                start, counted = time.perf_counter(), compared(net.units[row.name])

                def tell(stop: int, what: str = what, before: int = before) -> None:
                    progress(what, before + stop, total)

                classes = unit_classes(net, row.name, get, len(labels), batch=batch, compiled=compiled, progress=tell)
                correct = np.asarray(classes == labels.numpy())
                seconds, after = time.perf_counter() - start, compared(net.units[row.name])
                since = after.since(counted) if after is not None and counted is not None else None
                entry = Kept(correct, seconds, net.clips(row.name), since)
                if journal is not None:
                    journal.keep(seed, row.name, entry)
            row.correct.append(entry.correct)
            row.seconds += entry.seconds
            row.clips = row.clips + entry.clips
            if entry.compared is not None:
                row.compared = entry.compared.plus(row.compared or Compared())
            done += len(labels)
    progress("done", total, total)
    return result
