"""The binary16 hardware over all operands, compiled, against exact integers: `python -m synth.exhaustive`.

Multiply and add over all 2**32 pairs, the multiply-add over drawn triples, integers to binary16 and back over all
inputs. Prints the table and writes it to `docs/results/fp16.json`.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from golden_model.fixed import INT8, SYM8, UQ, Format, Range
from hdl.float16.convert import from_int, to_int
from hdl.float16.multiply_add import add, multiply, multiply_add
from hdl.float16.operation import Operation
from synth.compiled.build import Engine, library
from synth.verilog import text_of

OPERATIONS = {"multiply": multiply, "add": add, "multiply_add": multiply_add}
INTEGERS = {"counts of 16 bits": Range(0, (1 << 16) - 1), "codes of 16 bits": Range(-(1 << 15), (1 << 15) - 1)}
"""What is converted to binary16."""
CODES = {"SYM8": SYM8, "INT8": INT8, "UQ(8,0)": UQ(8, 0)}
"""What binary16 is converted to."""
TRIPLES = 1 << 27
"""Drawn triples of the multiply-add, about 1.3e8."""
RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "fp16.json"


class _Count(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("compared", "wrong", "near_tie", "cancels", "subnormal", "hard")),
        *((name, ctypes.c_uint32) for name in ("a", "b", "c", "result")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was compared, and how much of it is hard to get right."""

    compared: int = 0
    wrong: int = 0
    near_tie: int = 0
    """Within a 64th of an LSB of a tie."""
    cancels: int = 0
    """Sums more than one bit shorter than the larger of product and addend."""
    subnormal: int = 0
    """An operand or the result is subnormal."""
    hard: int = 0
    """One of these three."""
    first: str = ""
    """The first that differs."""

    def plus(self, other: Counts) -> Counts:
        """Return the sum of two counts."""
        names = ("compared", "wrong", "near_tie", "cancels", "subnormal", "hard")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Counts(**sums, first=self.first or other.first)


def compiled(name: str, engine: Engine, text: str | None = None) -> ctypes.CDLL:
    """Return the library of an operation without its registers; `text`: other Verilog in its place."""
    operation: Operation = replace(OPERATIONS[name](1), registers=frozenset())
    ports = (*operation.operands, "result")
    text = text_of(operation.component(), name) if text is None else text
    return library(text, name, "binary16", ports, {"OPERATION": list(OPERATIONS).index(name)}, engine)


def pairs(of: ctypes.CDLL, start: int, stop: int) -> Counts:
    """Compare all pairs whose first operand lies in a range."""
    return _counted(partial(of.binary16_pairs, ctypes.c_uint32(start), ctypes.c_uint32(stop)))


def triples(of: ctypes.CDLL, seed: int, count: int) -> Counts:
    """Compare drawn triples."""
    return _counted(partial(of.binary16_triples, ctypes.c_uint64(seed), ctypes.c_uint64(count)))


def to_binary16(of: Range, engine: Engine) -> Counts:
    """Compare every integer of a range of 16 bits with its nearest binary16, ties to even."""
    operation = replace(from_int(of), registers=frozenset())
    made = _table(operation, "from_int", ("value", "result"), 3, engine).astype(np.uint16)
    values = np.arange(1 << 16)
    values = np.where(values > of.hi, values - (1 << 16), values)
    with np.errstate(over="ignore"):
        right = values.astype(np.float64).astype(np.float16).view(np.uint16)
    return Counts(compared=1 << 16, wrong=int((made != right).sum()))


def to_codes(output: Format, engine: Engine) -> Counts:
    """Compare the code of every binary16 number, and whether it is lost: saturated, infinite or no number."""
    made = _table(to_int(output), "to_int", ("x", "result", "lost"), 4, engine)
    x = np.arange(1 << 16).astype(np.uint16).view(np.float16).astype(np.float64)
    whole = np.rint(np.nan_to_num(x, posinf=1e9, neginf=-1e9))
    codes = np.clip(whole, output.range.lo, output.range.hi)
    lost = np.isnan(x) | (codes != whole)
    bits = codes.astype(np.int64) & ((1 << output.bits) - 1)
    return Counts(compared=1 << 16, wrong=int((made != (bits | lost.astype(np.int64) << 16)).sum()))


def _table(operation: Operation, name: str, ports: tuple[str, ...], number: int, engine: Engine) -> NDArray[np.int64]:
    of = library(text_of(operation.component(), name), name, "binary16", ports, {"OPERATION": number}, engine)
    results = np.zeros(1 << 16, np.uint32)
    of.binary16_table(ctypes.c_void_p(results.ctypes.data))
    return results.astype(np.int64)


def _counted(call: Any) -> Counts:
    count = _Count()
    call(ctypes.byref(count))
    values = {name: int(getattr(count, name)) for name in ("compared", "wrong", *_KINDS)}
    found = ", ".join(f"{name} = {getattr(count, name):#06x}" for name in ("a", "b", "c", "result"))
    return Counts(**values, first=found if count.wrong else "")


_KINDS = ("near_tie", "cancels", "subnormal", "hard")


def run(engine: Engine, threads: int, console: Console, scale: int = 1) -> dict[str, Counts]:
    """Compare everything (or 1 of `scale` pieces of it), a thread a piece."""
    results: dict[str, Counts] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar, ThreadPoolExecutor(threads) as pool:
        for name in OPERATIONS:
            task = bar.add_task(f"{name}: compiling", total=1024 // scale)
            of = compiled(name, engine)
            bar.update(task, description=name)
            if name == "multiply_add":
                jobs = [pool.submit(triples, of, seed, TRIPLES // 1024) for seed in range(1024 // scale)]
            else:
                jobs = [pool.submit(pairs, of, 64 * n, 64 * n + 64) for n in range(1024 // scale)]
            total = Counts()
            for job in jobs:
                total = total.plus(job.result())
                bar.advance(task)
            results[name] = total
        task = bar.add_task("conversions", total=len(INTEGERS) + len(CODES))
        for title, of_integers in INTEGERS.items():
            results[f"{title} to binary16"] = to_binary16(of_integers, engine)
            bar.advance(task)
        for title, output in CODES.items():
            results[f"binary16 to {title}"] = to_codes(output, engine)
            bar.advance(task)
    return results


def main() -> None:
    """Run everything on all cores, print the table, write the file; exit code 1 where anything differs."""
    console, started = Console(), time.monotonic()
    engine = Engine.CXXRTL
    results = run(engine, os.cpu_count() or 1, console)
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("operation", "compared", "differ", "near tie", "cancels", "subnormal", "any"):
        table.add_column(heading, justify="right" if heading != "operation" else "left")
    for name, counts in results.items():
        table.add_row(name, *(f"{getattr(counts, kind):,}" for kind in ("compared", "wrong", *_KINDS)))
    console.print(table)
    console.print(f"{engine.value}, {time.monotonic() - started:.0f} s", highlight=False)
    record = {name: {k: v for k, v in asdict(counts).items() if k != "first"} for name, counts in results.items()}
    RESULTS.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, counts in results.items():
        if counts.wrong:
            raise SystemExit(f"{name}: {counts.wrong} differ, the first {counts.first}")


if __name__ == "__main__":
    main()
