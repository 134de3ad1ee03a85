"""A network's arrays to take away: memory images of the scale factors, codes, sums and counters, and a bench.

The folder needs no Python: `iverilog -g2005 -o bench scale_array.v bench.v && vvp bench`. A load is one array of one
layer: a row tile and a block of physical columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.configuration import plain
from golden_model.errors import UserError
from golden_model.scale_array.config import ScaleArrayConfig
from golden_model.scale_array.image import to_image
from golden_model.scale_array.model import activity, encode, read_out, scale_array
from integration.mapping.array_rtl import loads
from integration.mapping.sliced import Work
from integration.studies.export import bench, packed
from integration.zoo.files import write_folder
from synth.compiled.harness import Field
from synth.verilog import elaborate

BENCH = Path(__file__).parent / "export_arrays.v"


def _lines(values: NDArray[np.int64], bits: int) -> str:
    """Return rows of lanes (rows, lanes) as text, a number a row."""
    return "\n".join(packed((Field(name="word", bits=bits, signed=False),), {"word": values})) + "\n"


def export_arrays(works: Sequence[Work], config: ScaleArrayConfig, folder: Path, *, layer: str | None = None) -> str:
    """Write the folder, whole or not at all, for one layer or all; return what it holds, in words.

    Errors: UserError for a layer that is not there, or a folder that holds something else.
    """
    names = [work.arrays.name for work in works]
    if layer is not None and layer not in names:
        raise UserError(f"--layer {layer!r}: the sliced layers are {', '.join(names)}")
    binary = not works[0].arrays.sliced.tile.readout.ternary
    order = read_out(config)
    texts: dict[str, str] = {}
    manifest: list[dict[str, Any]] = []
    counts: list[tuple[int, int]] = []
    sums_in_all = 0
    for work in works:
        if layer not in (None, work.arrays.name):
            continue
        for load in loads(work, config):
            codes = encode(load.p)
            expected = scale_array(config, load.scales, codes, binary_mode=binary)
            words = codes.reshape(-1, config.columns)
            sums = np.asarray(expected.values)[:, order].reshape(-1, config.lanes)
            counted = activity(config, load.p)
            flags = np.asarray(expected.flagged).reshape(len(codes), -1).any(axis=0).astype(np.int64)
            numbers = [[counted.operations, counted.reads, counted.computes, counted.stores]]
            files = {
                "scales": to_image(config, load.scales),
                "codes": _lines(words, 2),
                "sums": _lines(sums, config.sum_bits),
                "flags": _lines(flags.reshape(1, -1), 1),
                "activity": _lines(np.array(numbers, np.int64), config.counter_bits),
            }
            texts |= {f"load{len(manifest)}_{kind}.hex": text for kind, text in files.items()}
            counts.append((len(words), len(sums)))
            sums_in_all += expected.values.size
            place = {"layer": load.layer, "tile": load.tile, "first_column": load.first, "columns": load.used}
            manifest.append({"load": len(manifest), **place, "arrays": len(codes)})
    texts["words.hex"] = "".join(f"{number:x}\n" for pair in counts for number in pair)
    texts["scale_array.v"] = elaborate("scale_array", config)
    texts["bench.v"] = _bench(config, counts, binary=binary)
    texts["manifest.json"] = json.dumps({"configuration": plain(config), "loads": manifest}, indent=1) + "\n"
    write_folder(folder, texts)
    return (
        f"{folder}: {len(manifest)} loads, {sums_in_all:,} sums; there: "
        "iverilog -g2005 -o bench scale_array.v bench.v && vvp bench"
    )


def _bench(config: ScaleArrayConfig, counts: Sequence[tuple[int, int]], *, binary: bool) -> str:
    values = {
        "LOADS": len(counts),
        "ROWS": config.scale_rows,
        "COLUMNS": config.columns,
        "MOST_IN": max(codes for codes, _ in counts),
        "MOST_OUT": max(sums for _, sums in counts),
        "ROW_BITS": max(1, (config.scale_rows - 1).bit_length()),
        "MASK_BITS": config.words,
        "ACTIVITY_BITS": 4 * config.counter_bits,
        "BINARY": int(binary),
    }
    return bench(BENCH, values)
