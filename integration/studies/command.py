"""`nmpu evaluate`: from names and files to an evaluation, its tables and its JSON."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor, nn

from golden_model import configuration
from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import NmpuConfig
from integration.mapping import store
from integration.mapping.chips import Compared
from integration.mapping.network import ConvertedNetwork
from integration.mapping.rtl import Fp16Rtl, NmpuRtl
from integration.studies import sliced
from integration.studies.evaluate import Evaluation, Journal, compared, evaluate, unit_classes, worth_compiling
from integration.studies.export import export, free
from integration.studies.layers import LayerRow, layer_rows
from integration.zoo import datasets
from integration.zoo.files import writable, write_text
from integration.zoo.trained import trained
from sim.bit_slices import SlicedTile
from sim.digital import Digital, FloatUnit, Fp16Unit, NmpuUnit
from sim.kernels import compiler_stands
from sim.presets import any_preset
from sim.tile import Tile
from synth.compiled import Engine

LAYER_IMAGES = 32
"""Test images that the row-a-layer table is measured on."""
EXPORTED = 1
"""Images that --export takes where --images says nothing."""
CONTROL = "nmpu:scale=UQ(1,3)"
"""The negative control: 4-bit scales must visibly hurt, or the table means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for; the fields are the command's options."""

    network: str
    dataset: str
    data: Path | None
    checkpoint: Path | None
    mean: str | None
    std: str | None
    preset: str
    assignments: tuple[str, ...]
    digital: tuple[str, ...]
    control: bool
    seeds: tuple[int, ...]
    images: int | None
    batch: int
    threads: int
    compiled: bool | None
    layers: bool
    save: Path | None
    load: Path | None
    json_file: Path | None
    export: Path | None = None
    arrays_rtl: bool = False
    layer: str | None = None


def digital(text: str, tile: Tile) -> Digital:
    """Return the digital unit that `--digital` names, for the read-out of a tile."""
    line, bits = tile.readout.output, max(tile.readout.bits, 12)
    return unit_of(text, NmpuConfig(input=line, input_bits=bits), Fp16Config(input=line, input_bits=bits))


def unit_of(text: str, nmpu: NmpuConfig, half: Fp16Config) -> Digital:
    """Return the digital unit that `--digital` names; its fields change those of `nmpu` or `half`."""
    name, _, fields = text.partition(":")
    words = [word for word in re.split(r",(?![^()]*\))", fields) if word]
    match name.lower():
        case "float":
            return replace(configuration.words(FloatUnit(), words, f"--digital {text}"), name=_name("float", words))
        case "fp16":
            fp16 = configuration.words(half, words, f"--digital {text}")
            return Fp16Unit(config=fp16, name=_name("FP16", words))
        case "nmpu":
            return NmpuUnit(config=configuration.words(nmpu, words, f"--digital {text}"), name=_name("NMPU", words))
        case "rtl":
            words, chosen = _compiled(words, text)
            config = configuration.words(nmpu, words, f"--digital {text}")
            return NmpuRtl(config=config, name=_name("NMPU RTL", [*words, *chosen.words]), **chosen.fields)
        case "fp16-rtl":
            words, chosen = _compiled(words, text)
            fp16 = configuration.words(half, words, f"--digital {text}")
            return Fp16Rtl(config=fp16, name=_name("FP16 RTL", [*words, *chosen.words]), **chosen.fields)
    if Path(name).suffix == ".toml":
        return NmpuUnit(
            config=configuration.read(Path(name), nmpu),
            name=f"NMPU {Path(name).stem}",
        )
    raise UserError(
        f"--digital {text!r} is unknown: float, fp16, nmpu, rtl, fp16-rtl, each with :key=value,... or a .toml file "
        "of an NMPU"
    )


class _Chosen(NamedTuple):
    """How Verilog is compiled, of the words behind `rtl:`."""

    words: list[str]
    fields: dict[str, Any]


def _compiled(words: list[str], text: str) -> tuple[list[str], _Chosen]:
    """Return the words of the configuration, and those of the compiled model: engine=..., verilog=FILE."""
    own = [word for word in words if word.partition("=")[0] in ("engine", "verilog")]
    fields: dict[str, Any] = dict(word.split("=", 1) for word in own)
    if "engine" in fields:
        engines = [engine.value for engine in Engine]
        if fields["engine"] not in engines:
            raise UserError(f"--digital {text}: engine is {' or '.join(engines)}")
        fields["engine"] = Engine(fields["engine"])
    return [word for word in words if word not in own], _Chosen(own, fields)


def _name(base: str, words: list[str]) -> str:
    return " ".join([base, *words])


def run(request: Request, console: Console) -> None:
    """Do what was asked and print it; results are written at the end, whole."""
    torch.set_num_threads(request.threads)
    for path in (request.save, request.json_file):
        if path is not None:
            writable(path)
    if request.compiled and not compiler_stands():
        raise UserError("--compiled needs a C++ compiler (g++ or clang++) on PATH; --eager computes the same bits")
    chosen = configuration.words(any_preset(request.preset), list(request.assignments), "--set")
    if isinstance(chosen, SlicedTile):
        sliced.run(request, chosen, console)
        return
    if request.arrays_rtl:
        raise UserError(f"--arrays-rtl: {chosen.name} has no scale-factor array; hcim_a, hcim_b and hcim_wide have")
    tile = chosen
    wanted = (*request.digital, CONTROL) if request.control else request.digital
    units = tuple(digital(text, tile) for text in wanted)
    for unit in units:
        if isinstance(unit, NmpuRtl | Fp16Rtl):
            with console.status(f"{unit.name}: compiling the Verilog, minutes the first time"):
                unit.bench.words(1)
    exported = next((unit for unit in units if isinstance(unit, NmpuUnit | Fp16Unit)), None)
    if request.export is not None:
        free(request.export)
        if exported is None:
            raise UserError("--export needs a unit with Verilog: --digital nmpu or fp16")
    if request.load is not None:
        _loaded(request, console)
        return
    test = datasets.load(request.dataset, request.data, "test")
    model, mean, std = _model(request, test)
    training = datasets.load(request.dataset, request.data, "train")
    count = len(test) if request.images is None else min(request.images, len(test))

    def images(start: int, stop: int) -> Tensor:
        return datasets.normalise(test.images[start:stop], mean, std)

    first: list[ConvertedNetwork] = []
    journal = None
    if request.json_file is not None:
        journal = Journal(
            request.json_file.with_name(request.json_file.name + ".partial"), _key(request, model, units, tile, count)
        )
    with progress_bar(console) as bar:
        task = bar.add_task("conversion", total=None)
        result = evaluate(
            model,
            tile,
            datasets.normalise(training.images[:256], mean, std),
            images,
            test.labels[:count],
            units=units,
            seeds=request.seeds,
            batch=request.batch,
            compiled=request.compiled,
            network=request.network,
            dataset=request.dataset,
            progress=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            converted=first.append,
            journal=journal,
        )
    print_table(result, console)
    looked_at = min(count, LAYER_IMAGES)
    rows = layer_rows(first[0], images(0, looked_at)) if request.layers else []
    if rows:
        print_layers(rows, looked_at, console)
    if request.export is not None and exported is not None:
        number = min(count, EXPORTED) if request.images is None else count
        made = export(first[0], exported, images(0, number), request.export)
        console.print(
            f"{request.export}: {number} images through {exported.name}, {made['words']:,} words in {made['steps']} "
            f"steps; there: iverilog -g2005 -o bench *.v && vvp bench",
            highlight=False,
            soft_wrap=True,
        )
    if request.save is not None:
        first[0].mean, first[0].std = mean, std
        store.save(first[0], request.save)
        console.print(f"converted network of seed {request.seeds[0]}: {request.save}", highlight=False)
    if request.json_file is not None:
        document = result.summary() | {"checkpoint": str(request.checkpoint or "shipped")}
        if rows:
            document["layers"] = [asdict(row) for row in rows]
        write_text(request.json_file, json.dumps(document, indent=2) + "\n")
        if journal is not None:
            journal.log.path.unlink(missing_ok=True)


def _key(request: Request, model: nn.Module, units: tuple[Digital, ...], tile: Tile, count: int) -> str:
    """Return a hash of everything that decides the rows of an evaluation, whatever the batch and the threads."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    parts: list[object] = [request.network, request.dataset, request.mean, request.std, count, version("nmpu")]
    parts += [configuration.plain(tile), [configuration.plain(unit) for unit in units]]
    digest.update(json.dumps(parts).encode())
    return digest.hexdigest()


def progress_bar(console: Console) -> Progress:
    """Return the progress bar of long work: what runs, images, elapsed, remaining."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _numbers(text: str, name: str, channels: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != channels or not all(map(math.isfinite, numbers)) or (name == "--std" and min(numbers) <= 0):
        above = " above 0" if name == "--std" else ""
        raise UserError(f"{name} {text!r}: write {channels} number{'s' * (channels > 1)}{above}, separated by commas")
    return numbers


def _model(request: Request, test: datasets.Dataset) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """Return the model with its weights and the normalisation that it was trained with, unless told another."""
    model, mean, std = trained(request.network, test, request.checkpoint)
    if request.mean is not None:
        mean = _numbers(request.mean, "--mean", test.channels)
    if request.std is not None:
        std = _numbers(request.std, "--std", test.channels)
    return model, mean, std


def _loaded(request: Request, console: Console) -> None:
    """Evaluate a saved network: its own units, its own seed, its own normalisation."""
    assert request.load is not None
    network = store.load(request.load)
    test = datasets.load(request.dataset, request.data, "test")
    mean, std = network.mean or test.mean, network.std or test.std
    if len(mean) != test.channels:
        raise UserError(f"{request.load} takes images of {len(mean)} channels, {request.dataset} has {test.channels}")
    count = len(test) if request.images is None else min(request.images, len(test))
    table = Table(
        title=f"{request.load}, {request.dataset}, {count} images, seed {network.calibrated.seed}", box=box.SIMPLE
    )
    table.add_column("")
    table.add_column("top-1 %", justify="right")
    rows = []
    with progress_bar(console) as bar:
        for name in network.units:
            task = bar.add_task(f"analog + {name}", total=count)
            classes = unit_classes(
                network,
                name,
                lambda start, stop: datasets.normalise(test.images[start:stop], mean, std),
                count,
                batch=request.batch,
                compiled=worth_compiling(count) if request.compiled is None else request.compiled,
                progress=lambda stop, task=task: bar.update(task, completed=stop),  # type: ignore[misc]  # bound now
            )
            rows.append({"name": name, "accuracy": 100.0 * float((classes == test.labels[:count].numpy()).mean())})
            table.add_row(f"analog + {name}", f"{rows[-1]['accuracy']:.2f}")
    console.print(table)
    for name, unit in network.units.items():
        counted = compared(unit)
        if counted is not None:
            print_compared(name, counted, console)
    if request.json_file is not None:
        document = {"network": str(request.load), "dataset": request.dataset, "images": count, "rows": rows}
        write_text(request.json_file, json.dumps(document, indent=2) + "\n")


def print_table(result: Evaluation, console: Console) -> None:
    """Print the accuracy table."""
    seeds = f"seeds {result.seeds[0]}..{result.seeds[-1]}" if len(result.seeds) > 1 else f"seed {result.seeds[0]}"
    table = Table(
        title=f"{result.network} on {result.dataset}, {result.images} images, {result.preset.name}, {seeds}",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("")
    for heading in ("top-1\n%", "\ndrop", "SE\nseeds", "SE\nimages", "worse/\nbetter", "\nclipped", "\ns"):
        table.add_column(heading, justify="right", no_wrap=True)
    drops = result.drops()

    def points(value: float) -> str:
        return "-" if math.isnan(value) else f"{value:.2f}"

    table.add_row("FP32", f"{result.fp32.accuracy:.2f}", "", "", "", "", "", f"{result.fp32.seconds:.1f}")
    for row in result.rows:
        d = drops.get(row.name)
        clips = f"{row.clips.scales}+{row.clips.offsets}+{row.clips.zeros}"
        cells = ["", "", "", ""]
        if d is not None:
            cells = [f"{d.mean:+.2f}", points(d.over_seeds), points(d.over_images), f"{d.worse}/{d.better}"]
        table.add_row(f"analog + {row.name}", f"{row.accuracy:.2f}", *cells, clips, f"{row.seconds:.1f}")
    console.print(table)
    for row in result.rows:
        if row.compared is not None:
            print_compared(row.name, row.compared, console)
    base = result.baseline
    console.print(
        f"drop: accuracy of {base} minus the row's, points, paired; SE: its standard error over seeds, over images\n"
        f"worse/better: images that only {base} / only the row gets right, all seeds\n"
        "clipped: scales too large + offsets beyond their format + columns whose scales round to 0, all seeds",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def print_compared(name: str, compared: Compared, console: Console) -> None:
    """Print what compiled Verilog was compared in."""
    console.print(
        f"{name}: {compared.codes:,} codes out of compiled Verilog in {compared.cycles:,} cycles, "
        f"{compared.wrong:,} differ from the golden model, and {compared.flags:,} saturation flags",
        highlight=False,
        soft_wrap=True,
    )


def print_layers(rows: list[LayerRow], images: int, console: Console) -> None:
    """Print the table with a row a layer and unit."""
    table = Table(title=f"layers, first {images} images", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for heading in ("tiles", "rows", "columns", "output\nLSB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit")
    for heading in ("error\nrms", "saturated\n%", "clipped"):
        table.add_column(heading, justify="right", no_wrap=True)
    for layer in dict.fromkeys(row.layer for row in rows):
        own = [row for row in rows if row.layer == layer]
        for row in own:
            shape = (layer, str(row.tiles), str(row.rows), str(row.columns), f"{row.output_scale:.4g}")
            error = (f"{row.error:.2f}", f"{row.saturated:.2f}", str(row.clipped))
            table.add_row(*(shape if row is own[0] else ("",) * 5), row.unit, *error)
    console.print(table)
    console.print("error: codes against the exact result for the same inputs, output LSB", style="dim", highlight=False)
