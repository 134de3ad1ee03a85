"""`make bench`, second half: codes a processor second through compiled Verilog, beside the golden model's kernel.

64 units with four columns, parameter memory, pauses on both sides. Every code is compared with the golden model's.
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Layer, NmpuConfig
from integration.mapping.chips import STALLS
from sim.kernels import any_rows, compiler_stands, fuse
from synth.compiled import CompiledUnit, Engine

CONFIGS = {
    "two counts alone": NmpuConfig(partial_sum=False, residual=False),
    "default": NmpuConfig(),
    "every stage": NmpuConfig(batch_norm=True),
}
WORDS = 1 << 16
REPEATS = 5


def measure(config: NmpuConfig, engine: Engine) -> dict[str, Any]:
    """Return what one configuration and engine do, and the golden kernel's time for the same words."""
    rng = np.random.default_rng(0)
    unit = CompiledUnit("nmpu", config, engine=engine)
    values: dict[str, Any] = {
        name: rng.integers(of.lo, of.hi + 1, unit.columns).astype(np.int32)
        for name, of in Columns.ranges(config).items()
        if name in unit.parameters
    }
    limits = {"first": config.input_range, "second": config.input_range, "residual": config.residual_input.range}
    words = {
        name: rng.integers(limits[name].lo, limits[name].hi + 1, (WORDS, unit.units)).astype(np.int32)
        for name in unit.inputs
        if name in limits
    }
    unit.write(values)
    registers = {"relu_after": 1, "last": 1, "add_residual": int(config.residual)}
    unit.layer(registers)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        out = unit.stream(words, stalls=STALLS)
        times.append(time.process_time() - start)
    rows = {name: torch.from_numpy(value.reshape(-1, unit.columns)) for name, value in words.items()}
    columns = {name: torch.from_numpy(value) for name, value in values.items()}

    def golden(first: Any, second: Any, residual: Any, columns: dict[str, Any]) -> Any:
        made = nmpu(config, Columns(**columns), Layer(relu_after=True), first, second, residual=residual)
        return made.values

    with torch.inference_mode():
        run: Any = fuse(golden, ("bench rtl", config)) if compiler_stands() else golden
        operands: list[Any] = [rows["first"], rows["second"], rows.get("residual")]
        any_rows(*operands)
        right = run(*operands, columns)
        took = []
        for _ in range(REPEATS):
            start = time.process_time()
            run(*operands, columns)
            took.append(time.process_time() - start)
    codes = WORDS * unit.units
    wrong = int((out["code"].reshape(-1, unit.columns) != right.numpy()).sum())
    return {
        "codes_a_second": codes / min(times),
        "golden_ns": statistics.median(took) / codes * 1e9,
        "ratio": min(times) / min(took),
        "wrong": wrong,
    }


def main() -> None:
    """Print the table; the first run compiles for minutes."""
    torch.set_num_threads(1)
    console = Console()
    load = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "?"
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("compiled NMPU, 64 x 4", no_wrap=True)
    for heading in ("engine", "M codes a\nprocessor second", "time /\ngolden kernel", "codes\nthat differ"):
        table.add_column(heading, justify="right", no_wrap=True)
    engines = [engine for engine in Engine if engine is not Engine.VERILATOR or shutil.which("verilator")]
    for name, config in CONFIGS.items():
        for engine in engines:
            with console.status(f"{name}, {engine.value}: compiling, minutes the first time"):
                row = measure(config, engine)
            speed, ratio = f"{row['codes_a_second'] / 1e6:.1f}", f"{row['ratio']:.0f}"
            table.add_row(name, engine.value, speed, ratio, str(row["wrong"]))
    console.print(table)
    console.print(f"fastest of {REPEATS} runs of {WORDS:,} words; load {load} before", highlight=False)


if __name__ == "__main__":
    main()
