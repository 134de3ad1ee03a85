"""Vectors to take away: a converted network's parameters, inputs and outputs as text for `$readmemh`, and a bench.

The folder needs no Python: `iverilog -g2005 -o bench UNIT.v bench.v && vvp bench` runs it on the emitted Verilog, and
any other simulator on that, on a netlist, or on other RTL with the same ports. One step is a parameter load and the
words of one tile of one layer (of 256 columns of it, where it has more).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden_model.configuration import plain
from golden_model.errors import UserError
from integration.mapping.chips import Bench
from integration.mapping.golden_chip import GoldenChip
from integration.mapping.network import ConvertedNetwork
from integration.mapping.rtl import Fp16Rtl, NmpuRtl
from sim.digital import Digital, Fp16Unit, NmpuUnit
from synth.compiled.harness import Field
from synth.verilog import elaborate

BENCH = Path(__file__).parent / "export.v"
STREAM = Path(__file__).parent / "export_stream.v"
"""Offers `inputs`, takes and compares `outputs`; stands inside every bench."""


@dataclass(frozen=True, kw_only=True)
class _NmpuChip(NmpuRtl):
    """The NMPU's golden model behind its ports."""

    @cached_property
    def bench(self) -> Bench:
        """Return the one chip."""
        return Bench(lambda seed: GoldenChip("nmpu", self.config))


@dataclass(frozen=True, kw_only=True)
class _Fp16Chip(Fp16Rtl):
    """The FP16 unit's golden model behind its ports."""

    @cached_property
    def bench(self) -> Bench:
        """Return the one chip."""
        return Bench(lambda seed: GoldenChip("fp16_unit", self.config))


def free(folder: Path) -> None:
    """Refuse (UserError) a folder that holds something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--export {folder}: there is something already; name a new folder")


def export(network: ConvertedNetwork, unit: Digital, images: Tensor, folder: Path) -> dict[str, int]:
    """Write the folder, whole or not at all; return how many steps, words and codes it has.

    `unit`: an NMPU or FP16 unit. Raises UserError for another, or where the folder holds something.
    """
    free(folder)
    chip: NmpuRtl | Fp16Rtl
    if isinstance(unit, NmpuUnit):
        chip = _NmpuChip(config=unit.config)
    elif isinstance(unit, Fp16Unit):
        chip = _Fp16Chip(config=unit.config)
    else:
        raise UserError(f"--export: {unit.name} has no Verilog; give --digital nmpu or fp16")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one chip, one order of steps
    try:
        network.add(chip)
        network.run(images, chip.name, compiled=False)
    finally:
        torch.set_num_threads(threads)
    golden = chip.bench.chips[0]
    assert isinstance(golden, GoldenChip) and not chip.bench.compared.wrong
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            made = Path(name) / "made"
            made.mkdir()
            counts = _write(golden, made, _manifest(network, golden))
            if folder.exists():
                folder.rmdir()
            os.replace(made, folder)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}; make room, or name another folder") from error
    return counts


def _manifest(network: ConvertedNetwork, chip: GoldenChip) -> list[dict[str, Any]]:
    """Return what each step is: layer, tile, first column."""
    rows: list[dict[str, Any]] = []
    for layer in network.calibrated.layers:
        for block in range(0, layer.programmed.columns, chip.columns):
            columns = min(layer.programmed.columns - block, chip.columns)
            for tile in range(len(layer.programmed.tiles.rows)):
                rows.append({"layer": layer.layer.name, "tile": tile, "first_column": block, "columns": columns})
    return [{"step": number, **row} for number, row in enumerate(rows)]


def _write(chip: GoldenChip, folder: Path, manifest: Sequence[dict[str, Any]]) -> dict[str, int]:
    unit = chip.harness.unit
    (folder / f"{unit}.v").write_text(elaborate(unit, chip.config), encoding="utf-8")
    of = chip.harness.fields
    for number, step in enumerate(chip.steps):
        store = {name: value[:, None] for name, value in step.parameters.items()}
        registers = {name: np.full((1, 1), value) for name, value in step.registers.items()}
        lines = {
            "parameters": packed(of["write"], store),
            "layer": packed(of["layer"], registers) or ["0"],
            "inputs": packed(of["i"], step.inputs),
            "outputs": packed(of["o"], step.outputs),
            "flags": packed((Field(name="flag", bits=1, signed=False),), {"flag": step.flags[None, :]}),
        }
        for kind, rows in lines.items():
            (folder / f"step{number}_{kind}.hex").write_text("\n".join(rows) + "\n", encoding="ascii")
    counts = [len(next(iter(step.inputs.values()))) for step in chip.steps]
    (folder / "counts.hex").write_text("".join(f"{count:x}\n" for count in counts), encoding="ascii")
    (folder / "bench.v").write_text(_bench(chip, counts), encoding="utf-8")
    played = [{**row, "words": count} for row, count in zip(manifest, counts, strict=True)]
    record = {"unit": unit, "configuration": plain(chip.config), "steps": played}
    (folder / "manifest.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return {"steps": len(counts), "words": sum(counts), "codes": sum(counts) * chip.units}


def packed(layout: Sequence[Field], values: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return one hexadecimal number a row of (rows, lanes) arrays by field, lane 0 and the first field lowest."""
    if not layout:
        return []
    bits = [
        (np.asarray(values[field.name], np.int64)[..., None] >> np.arange(field.bits) & 1).astype(np.uint8)
        for field in layout
    ]
    joined = np.concatenate(bits, axis=-1)
    rows = joined.reshape(len(joined), -1)
    digits = -(-rows.shape[1] // 4)
    whole = np.packbits(rows, axis=1, bitorder="little")
    return [f"{int.from_bytes(row.tobytes(), 'little'):0{digits}x}" for row in whole]


def _bench(chip: GoldenChip, counts: Sequence[int]) -> str:
    """Return the bench with the unit's name and widths."""
    widths = {port.name: port.width for port in chip.harness.inner}
    values = {
        "UNIT": chip.harness.unit,
        "STEPS": len(counts),
        "MOST": max(counts),
        "COLUMNS": chip.columns,
        "COLUMN_BITS": widths["write__column"],
        "MASK_BITS": widths["write__mask"],
        "WRITE_BITS": widths["write__data"],
        "LAYER_BITS": widths.get("layer__data", 1),
        "LAYER_PORT": ".layer__data(layer__data)," if "layer__data" in widths else "",
        "IN_BITS": widths["i__payload"],
        "OUT_BITS": widths["o__payload"],
    }
    return bench(BENCH, values)


def bench(template: Path, values: Mapping[str, object]) -> str:
    """Return a bench: a template with its values, and the stream with pauses on both sides that all benches play."""
    text = template.read_text(encoding="utf-8")
    for name, value in {"STREAM": STREAM.read_text(encoding="utf-8"), **values}.items():
        text = text.replace(f"@{name}@", str(value))
    return text
