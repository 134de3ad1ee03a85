"""`nmpu evaluate` on a bit-sliced preset: a network trained for it, as integers on its scale-factor arrays."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from torch import nn

from golden_model.configuration import plain
from golden_model.errors import UserError
from integration.mapping.array_rtl import ArrayBench
from integration.mapping.sliced import Work
from integration.mapping.slicing import convert_sliced
from integration.studies.evaluate import Row, drop, worth_compiling
from integration.studies.export_arrays import export_arrays
from integration.studies.sweep.task import estimate
from integration.zoo import checkpoint, datasets
from integration.zoo.datasets import Dataset
from integration.zoo.files import write_text
from integration.zoo.sliced import Sums, set_sums
from integration.zoo.sliced_training import load_sliced
from sim.bit_slices import SlicedTile
from sim.digital import FloatUnit

if TYPE_CHECKING:
    from integration.studies.command import Request

CALIBRATION_IMAGES = 256
"""Training images that choose the scales of codes between layers."""


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A trained network, its images, and how they are normalised."""

    model: nn.Module
    test: Dataset
    calibration: torch.Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    path: Path

    def images(self, start: int, stop: int) -> torch.Tensor:
        """Return normalised test images, channels last."""
        return datasets.normalise(self.test.images[start:stop], self.mean, self.std).contiguous(
            memory_format=torch.channels_last
        )


def find(network: str, dataset: str, tile: SlicedTile) -> Path:
    """Return the shipped checkpoint of a network trained for a tile; UserError where there is none."""
    kind = "ternary" if tile.readout.ternary else "binary"
    path = checkpoint.FOLDER / f"{network}_{dataset}_{tile.name}_{kind}.npz"
    if not path.is_file():
        raise UserError(
            f"no checkpoint of {network} on {dataset} is shipped for {tile.name} ({kind}): name one with --checkpoint, "
            f"or train one with nmpu train --network {network} --dataset {dataset} --preset {tile.name}"
        )
    return path


def load(network: str, dataset: str, tile: SlicedTile, *, data: Path | None = None, path: Path | None = None) -> Loaded:
    """Load a network trained for a tile, with its test images. Errors: UserError for another network's, or none."""
    path = find(network, dataset, tile) if path is None else path
    test = datasets.load(dataset, data, "test")
    model, known = load_sliced(path, tile, classes=test.classes, channels=test.channels, network=network)
    card = checkpoint.read_card(path)
    if not known or (card is not None and card.recipe.get("sums") == str(Sums.INTEGER)):
        raise UserError(f"{path} was not trained with comparators: go on from it with nmpu train --preset {tile.name}")
    set_sums(model, Sums.COMPARATOR)
    mean, std = (test.mean, test.std) if card is None else (tuple(card.mean), tuple(card.std))
    training = datasets.load(dataset, data, "train").images[:CALIBRATION_IMAGES]
    return Loaded(
        model=model.eval(),
        test=test,
        calibration=datasets.normalise(training, mean, std),
        mean=mean,
        std=std,
        path=path,
    )


@dataclass(slots=True, kw_only=True)
class Result:
    """The table: one row a digital unit; the first is float, which drops are measured against."""

    network: str
    dataset: str
    tile: SlicedTile
    images: int
    seeds: tuple[int, ...]
    rows: list[Row] = field(default_factory=list)
    bench: ArrayBench | None = None

    def document(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        rows = [
            {
                "name": row.name,
                "accuracy": row.accuracy,
                "accuracies": row.accuracies,
                "seconds": round(row.seconds, 2),
            }
            for row in self.rows
        ]
        found: dict[str, Any] = {
            "network": self.network,
            "dataset": self.dataset,
            "images": self.images,
            "seeds": list(self.seeds),
            "preset": plain(self.tile),
            "rows": rows,
        }
        if self.bench is not None:
            b = self.bench
            found["arrays"] = {
                "sums": b.sums, "wrong": b.wrong, "totals": b.totals, "flags": b.flags, "miscounted": b.miscounted,
                "cycles": b.cycles, "activity": plain(b.work),
            }  # fmt: skip
        return found


def classify(
    run: Callable[[torch.Tensor], torch.Tensor], loaded: Loaded, count: int, batch: int, tell: Callable[[int], None]
) -> NDArray[np.int64]:
    """Return the classes that `run`, of images to logits, gives the first `count` test images; ties go to the first."""
    guesses = []
    with torch.inference_mode():
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            guesses.append(run(loaded.images(start, stop)).argmax(1))
            tell(stop)
    return np.asarray(torch.cat(guesses).numpy())


def run(request: Request, tile: SlicedTile, console: Console) -> None:
    """Do what `nmpu evaluate` was asked on a bit-sliced preset, and print it."""
    from integration.studies.command import print_compared, progress_bar, unit_of
    from integration.studies.evaluate import compared

    refused = {
        "--save": request.save, "--load": request.load, "--layers": request.layers, "--control": request.control,
        "--mean": request.mean, "--std": request.std, "--compiled": request.compiled,
    }  # fmt: skip
    given = [name for name, value in refused.items() if value]
    if given:
        raise UserError(f"{', '.join(given)}: not for bit-sliced presets such as {tile.name}")
    if len(request.seeds) > 1 and not tile.readout.offset_sigma:
        raise UserError(f"{tile.name} has nothing random: one seed is all; readout.offset_sigma would need several")
    loaded = load(request.network, request.dataset, tile, data=request.data, path=request.checkpoint)
    count = len(loaded.test) if request.images is None else min(request.images, len(loaded.test))
    first = convert_sliced(loaded.model, tile, loaded.calibration, units=(), seed=request.seeds[0])
    units = [unit_of(text, first.nmpu().config, first.fp16().config) for text in request.digital]
    result = Result(network=request.network, dataset=request.dataset, tile=tile, images=count, seeds=request.seeds)
    result.rows = [Row(name=unit.name) for unit in units]
    result.bench = ArrayBench(tile.scales, binary=not tile.readout.ternary) if request.arrays_rtl else None
    labels = loaded.test.labels[:count].numpy()
    with progress_bar(console) as bar:
        for seed in request.seeds:
            network = first
            if seed != request.seeds[0]:
                network = convert_sliced(loaded.model, tile, loaded.calibration, units=(), seed=seed)
            for unit, row in zip(units, result.rows, strict=True):
                floating = isinstance(unit, FloatUnit)
                if not floating:
                    network.add(unit)
                task = bar.add_task(f"seed {seed}: arrays + {unit.name}", total=count)
                watch = result.bench.take if result.bench is not None and not result.rows[0].correct else None
                begun = time.perf_counter()
                name = None if floating else unit.name
                forward = partial(network.run, unit=name, compiled=worth_compiling(count), watch=watch)
                found = classify(forward, loaded, count, request.batch, partial(_tell, bar, task))
                row.correct.append(np.asarray(found == labels))
                row.seconds += time.perf_counter() - begun
                row.clips = row.clips if floating else row.clips + network.clips(unit.name)
    print_result(result, console)
    for unit in units:
        counted = compared(unit)
        if counted is not None:
            print_compared(unit.name, counted, console)
    if request.export is not None:
        keep: list[Work] = []
        number = count if request.images is not None else 1
        first.run(loaded.images(0, number), None, watch=keep.append)
        made = export_arrays(keep, tile.scales, request.export, layer=request.layer)
        console.print(made, highlight=False, soft_wrap=True)
    if request.json_file is not None:
        document = result.document() | {"checkpoint": hashlib.sha256(loaded.path.read_bytes()).hexdigest()[:16]}
        write_text(request.json_file, json.dumps(document, indent=2) + "\n")


def _tell(bar: Progress, task: TaskID, stop: int) -> None:
    bar.update(task, completed=stop)


def print_result(result: Result, console: Console) -> None:
    """Print the accuracy table, and what the compiled arrays were compared in."""
    table = Table(
        title=f"{result.network} on {result.dataset}, {result.images} images, {result.tile.name}"
        + (f", {len(result.seeds)} seeds" if len(result.seeds) > 1 else ""),
        box=box.SIMPLE,
    )
    table.add_column("")
    for heading in ("top-1\n%", "\ndrop", "worse/\nbetter", "\nclipped", "\ns"):
        table.add_column(heading, justify="right", no_wrap=True)
    base = result.rows[0]
    for row in result.rows:
        cells = ["", ""]
        if row is not base:
            d = drop(base, row)
            cells = [f"{d.mean:+.2f}", f"{d.worse}/{d.better}"]
        error = estimate(row.accuracies).error
        shown = f"{row.accuracy:.2f}" + ("" if error is None else f" ± {error:.2f}")
        clips = f"{row.clips.scales}+{row.clips.offsets}+{row.clips.zeros}"
        table.add_row(f"arrays + {row.name}", shown, *cells, clips, f"{row.seconds:.1f}")
    console.print(table)
    b = result.bench
    if b is not None:
        console.print(
            f"scale-factor arrays, compiled Verilog: {b.sums:,} sums in {b.cycles:,} cycles, {b.wrong:,} differ from "
            f"the golden model, {b.totals:,} totals, {b.flags:,} flags and the counters of {b.miscounted:,} loads",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"drop: accuracy of {base.name} minus the row's, points, paired; worse/better: images that only {base.name} / "
        "only the row gets right\nclipped: scales too large + offsets beyond their format + columns whose scales round "
        "to 0",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
