"""HCiM's paper: networks with binary and ternary partial sums, what scale factors are shared by, zeros, and energy.

Ours stands on checkpoints that ship and were made by `nmpu train`: a float network, the same with 4-bit weights and
inputs and exact sums, and with comparators. Accuracy on all test images, scale factors as 4-bit codes throughout.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from golden_model.scale_array.model import Activity
from integration.mapping.sliced import SlicedNetwork, Work
from integration.mapping.slicing import convert_sliced
from integration.studies import hcim_report
from integration.studies.evaluate import worth_compiling
from integration.studies.hcim_energy import LayerWork, NetworkWork
from integration.studies.sliced import Loaded, classify, load
from integration.zoo import checkpoint, datasets
from integration.zoo.datasets import Dataset
from integration.zoo.sliced import Granularity, Sums, sliced_layers
from integration.zoo.sliced_training import NORM_IMAGES, calibrate, restore
from integration.zoo.trained import trained
from sim.bit_slices import SlicedTile
from sim.presets import HCIM_A

PAPER = "HCiM, arXiv 2403.13577 (ASP-DAC 2025)"
ACCURACY = {"integer": 92.26, "ternary": 88.80, "binary": 86.30}
"""Table 2, ResNet-20, CIFAR-10, 128 x 128, 4-bit inputs, weights and scale factors; `integer`: its 7-bit converters."""
GRANULARITY = {"LAYER": 86.7, "CHANNEL": 86.6, "COLUMN": 87.5, "BIT_SLICE": 88.7}
"""Fig. 2d, read off; each trained."""
ZEROS = "54-72 %, -1 15-31 %, +1 9-20 %"
"""Fig. 2c, read off, layers 10 to 19."""

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One accuracy of ours, and the paper's."""

    what: str
    ours: float | None
    """%; None where no checkpoint ships."""
    paper: float | None = None
    remark: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """What `nmpu reproduce hcim` shows."""

    network: str
    dataset: str
    images: int
    accuracy: list[Line] = field(default_factory=list)
    granularity: list[Line] = field(default_factory=list)
    same_class: float = 0.0
    """% of images that integer arrays with float affine give the class of the training forward."""
    work: NetworkWork | None = None

    def document(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        assert self.work is not None
        return {
            "paper": PAPER,
            "network": self.network,
            "dataset": self.dataset,
            "images": self.images,
            "accuracy": [asdict(line) for line in self.accuracy],
            "granularity": [asdict(line) for line in self.granularity],
            "same_class": self.same_class,
            "energy": hcim_report.document(self.work),
        }


class Census:
    """Counts p over a whole run: the hook of `SlicedNetwork.run`."""

    def __init__(self) -> None:
        self.plus: dict[str, torch.Tensor] = {}
        self.minus: dict[str, torch.Tensor] = {}
        self.vectors: dict[str, int] = {}

    def __call__(self, work: Work) -> None:
        """Add one layer's batch."""
        arrays, name = work.arrays, work.arrays.name
        plus, minus = arrays.sliced.census(work.codes, arrays.packed(work.codes), arrays.readout)
        self.plus[name] = self.plus.get(name, torch.zeros_like(plus)) + plus
        self.minus[name] = self.minus.get(name, torch.zeros_like(minus)) + minus
        self.vectors[name] = self.vectors.get(name, 0) + work.totals[:, 0].numel()

    def layers(self, network: SlicedNetwork) -> tuple[LayerWork, ...]:
        """Return the layers' work; the counters are those that the hardware would show of used columns."""
        found = []
        for name, vectors in self.vectors.items():
            sliced = network.arrays[name].sliced
            plus, minus = self.plus[name], self.minus[name]
            active = plus + minus
            operations, computes, final = active.numel() * vectors, int(active.sum()), int(active[:, -1].sum())
            idle = active[:, -1].numel() * vectors - final
            counted = Activity(operations=operations, reads=computes + idle, computes=computes, stores=computes - final)
            found.append(
                LayerWork(
                    name=name,
                    vectors=vectors,
                    tiles=sliced.tiles,
                    channels=sliced.channels,
                    slices=sliced.tile.array.slices,
                    rows=sliced.edges[-1],
                    activity=counted,
                    zeros=operations - computes,
                    plus=int(plus.sum()),
                    minus=int(minus.sum()),
                )
            )
        return tuple(found)


def reproduce(
    *,
    network: str = "resnet20",
    dataset: str = "cifar10",
    tile: SlicedTile = HCIM_A,
    data: Path | None = None,
    images: int | None = None,
    batch: int = 200,
    tell: Tell = lambda *_: None,
) -> Report:
    """Compute every figure of ours on the shipped checkpoints.

    `images`: the first test images only. `tell(what, done, total)` reports progress. Errors: UserError where a
    checkpoint or the data are missing.
    """
    ternary = load(network, dataset, tile, data=data)
    count = len(ternary.test) if images is None else min(images, len(ternary.test))
    labels = ternary.test.labels[:count].numpy()
    report = Report(network=network, dataset=dataset, images=count)
    training = datasets.load(dataset, data, "train").first(NORM_IMAGES)

    def telling(what: str) -> Callable[[int], None]:
        tell(what, 0, count)
        return lambda done: tell(what, done, count)

    def percent(classes: NDArray[Any]) -> float:
        return 100 * float((classes == labels).mean())

    floating, _, _ = trained(network, ternary.test)
    classes = classify(floating, ternary, count, batch, telling("float"))
    report.accuracy.append(Line(what="float", ours=percent(classes)))

    integer, _ = restore(checkpoint.FOLDER / f"{network}_{dataset}_{tile.name}_integer.npz")
    classes = classify(integer, ternary, count, batch, telling("4 bits, exact sums"))
    exact = percent(classes)
    report.accuracy.append(
        Line(what="4 bits, exact sums", ours=exact, paper=ACCURACY["integer"], remark="theirs: 7-bit ADC")
    )
    for granularity in Granularity:
        what = f"calibrated, a scale a {granularity.name.lower().replace('_', ' ')}"
        model = _calibrated(integer, granularity, training, ternary)
        classes = classify(model, ternary, count, batch, telling(what))
        report.granularity.append(
            Line(what=granularity.name, ours=percent(classes), paper=GRANULARITY[granularity.name])
        )
    full = next(line for line in report.granularity if line.what == Granularity.BIT_SLICE.name)
    report.accuracy.append(Line(what="ternary, calibrated alone", ours=full.ours))

    converted = convert_sliced(ternary.model, tile, ternary.calibration)
    census = Census()
    fused = worth_compiling(count)
    forward = partial(converted.run, watch=census)
    counted = classify(forward, ternary, count, batch, telling("ternary, counted"))
    ours = percent(counted)
    remark = f"{exact - ours:+.2f} below its exact sums"
    report.accuracy.append(Line(what="ternary, trained", ours=ours, paper=ACCURACY["ternary"], remark=remark))
    for unit in converted.units:
        behind = partial(converted.run, unit=unit, compiled=fused)
        mean = percent(classify(behind, ternary, count, batch, telling(f"ternary, {unit} behind")))
        report.accuracy.append(Line(what=f"  with the {unit} unit behind", ours=mean, remark=f"{mean - ours:+.2f}"))
    trained_forward = classify(ternary.model, ternary, count, batch, telling("ternary, training forward"))
    report.same_class = 100 * float((trained_forward == counted).mean())
    report.work = NetworkWork(network=network, images=count, layers=census.layers(converted), config=tile.scales)
    report.accuracy.append(_binary(network, dataset, tile, data, count, batch, telling))
    return report


def _calibrated(integer: nn.Module, granularity: Granularity, training: Dataset, loaded: Loaded) -> nn.Module:
    model = copy.deepcopy(integer)
    for layer in sliced_layers(model):
        layer.granularity = granularity
    calibrate(model, datasets.normalise(training.images, loaded.mean, loaded.std), Sums.COMPARATOR)
    return model


def _binary(
    network: str,
    dataset: str,
    tile: SlicedTile,
    data: Path | None,
    count: int,
    batch: int,
    telling: Callable[[str], Callable[[int], None]],
) -> Line:
    """Return the line of the binary read-out; without a figure of ours where no checkpoint of it ships."""
    binary = replace(tile, readout=replace(tile.readout, ternary=False))
    path = checkpoint.FOLDER / f"{network}_{dataset}_{tile.name}_binary.npz"
    if not path.is_file():
        return Line(what="binary, trained", ours=None, paper=ACCURACY["binary"], remark="no checkpoint ships")
    loaded = load(network, dataset, binary, data=data)
    converted = convert_sliced(loaded.model, binary, loaded.calibration, units=())
    made = classify(converted.run, loaded, count, batch, telling("binary"))
    right = made == loaded.test.labels[:count].numpy()
    return Line(what="binary, trained", ours=100 * float(right.mean()), paper=ACCURACY["binary"])


def show(report: Report, console: Console) -> None:
    """Print the tables, ours beside the paper's."""
    published = (report.network, report.dataset) == ("resnet20", "cifar10")
    console.print(f"{report.network} on {report.dataset}, {report.images} test images. Paper: {PAPER}", highlight=False)
    titles = {
        "accuracy, top-1 %": report.accuracy,
        "what shares a scale factor, top-1 % (ours calibrated, theirs trained)": report.granularity,
    }
    for title, lines in titles.items():
        console.print(f"\n{title}", highlight=False)
        table = Table(box=box.SIMPLE)
        table.add_column("")
        table.add_column("ours", justify="right")
        table.add_column("paper", justify="right")
        table.add_column("")
        for line in lines:
            name = line.what.lower().replace("_", " ") if lines is report.granularity else line.what
            theirs = "" if line.paper is None or not published else f"{line.paper:.2f}"
            remark = line.remark if published or not line.remark.startswith("theirs") else ""
            table.add_row(name, "-" if line.ours is None else f"{line.ours:.2f}", theirs, remark)
        console.print(table)
    console.print(
        f"Integer arrays with float affine: the class of the training forward on {report.same_class:.2f} % of images.",
        highlight=False,
    )
    assert report.work is not None
    console.print(f"\np by layer, % (paper, ResNet-20, layers 10-19: zeros {ZEROS})", highlight=False)
    table = Table(box=box.SIMPLE)
    table.add_column("layer", no_wrap=True)
    for heading in ("zeros", "-1", "+1", "tiles", "words an image"):
        table.add_column(heading, justify="right")
    total = {"zeros": 0, "plus": 0, "minus": 0, "words": 0}
    for layer in report.work.layers:
        words = layer.activity.operations
        for name, value in (("zeros", layer.zeros), ("plus", layer.plus), ("minus", layer.minus), ("words", words)):
            total[name] += value
        shares = [f"{100 * value / words:.1f}" for value in (layer.zeros, layer.minus, layer.plus)]
        table.add_row(layer.name, *shares, str(layer.tiles), f"{words / report.images:,.0f}")
    shares = [f"{100 * total[name] / total['words']:.1f}" for name in ("zeros", "minus", "plus")]
    table.add_row("all", *shares, "", f"{total['words'] / report.images:,.0f}")
    console.print(table)
    hcim_report.show(report.work, console)
