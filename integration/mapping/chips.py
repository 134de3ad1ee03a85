"""Chips that a network's layers go through: what they load, what they stream, and what is compared with the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from golden_model.errors import UserError
from synth.compiled import CompiledUnit, Engine

Integers = NDArray[np.int32]

STALLS = (32, 32)
"""The source rests in one cycle of eight, the sink too."""


class Compared(NamedTuple):
    """What was compared with the golden model."""

    codes: int = 0
    """Codes and logits that left the hardware."""
    wrong: int = 0
    """How many differ from the golden model's for the same inputs."""
    flags: int = 0
    """Saturation flags that differ, one a column, parameter load and chip."""
    cycles: int = 0
    """Clock cycles, parameter loads and stalls included."""

    def plus(self, other: Compared) -> Compared:
        """Return the sum of two counts."""
        return Compared(*(a + b for a, b in zip(self, other, strict=True)))

    def since(self, before: Compared) -> Compared:
        """Return what was added to an earlier count."""
        return Compared(*(a - b for a, b in zip(self, before, strict=True)))


class Load(NamedTuple):
    """One tile of a layer: what is loaded, and what is streamed."""

    parameters: Mapping[str, NDArray[Any]]
    """Parameters by field, (columns,)."""
    registers: dict[str, int]
    """Layer registers by field."""
    inputs: Mapping[str, NDArray[Any]]
    """Words by field, (rows, columns)."""


Outputs = tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]
"""Output fields, (rows, columns), and saturation flags."""


class Chip(Protocol):
    """One chip: `synth.compiled.CompiledUnit`, or the golden model behind the same ports."""

    units: int
    columns: int
    """Columns in all."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Return the parameters' fields by name."""

    @property
    def registers(self) -> Mapping[str, Any]:
        """Return the layer registers' fields by name."""

    @property
    def cycles(self) -> int:
        """Return the clock cycles so far."""

    def write(self, columns: Mapping[str, Any]) -> None:
        """Write the parameters of every column."""

    def layer(self, registers: Mapping[str, int]) -> None:
        """Write the layer registers."""

    def stream(self, words: Mapping[str, Any], *, stalls: tuple[int, int]) -> Mapping[str, NDArray[Any]]:
        """Return what comes out for words, (words, units) arrays by field."""

    def flags(self) -> NDArray[np.bool_]:
        """Return the columns' saturation flags."""


def compiled(unit: str, config: Any, engine: Engine, verilog: str) -> Callable[[int], Chip]:
    """Return what makes a compiled chip; `verilog`: a file with the same ports in place of the configuration's, or "".

    Raises UserError where the file cannot be read.
    """
    text = None
    if verilog:
        try:
            text = Path(verilog).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{verilog} cannot be read as Verilog: {error}") from error

    def make(seed: int) -> Chip:
        try:
            return CompiledUnit(unit, config, engine=engine, text=text, seed=seed)
        except RuntimeError as error:
            reason = next((line for line in str(error).splitlines() if "rror" in line), "a tool refuses it")
            raise UserError(f"{verilog or unit} does not compile as {unit}: {reason}") from error

    return make


class Bench:
    """The chips of one unit, one a thread, and what they were found to do.

    Parameters: what makes a chip of a seed.
    """

    def __init__(self, make: Callable[[int], Chip]) -> None:
        self.make = make
        self.chips = [make(0)]
        self.compared = Compared()

    def words(self, columns: int) -> int:
        """Return the words that carry one vector: enough, and so many that whole vectors fill the parameter store."""
        chip, stored = self.chips[0], self.chips[0].columns // self.chips[0].units
        least = -(-columns // chip.units)
        return next(words for words in range(least, stored + 1) if stored % words == 0)

    def run(self, tiles: Sequence[Load]) -> Outputs:
        """Return what leaves the last tile, and the columns' flags of each thread's rows, (threads, columns).

        The sum that a tile gives is what the next one receives.
        """
        rows = len(next(iter(tiles[0].inputs.values())))
        threads = max(1, min(torch.get_num_threads(), rows // 64))
        self.chips += [self.make(1000 * n) for n in range(len(self.chips), threads)]
        cuts = [rows * n // threads for n in range(threads + 1)]
        shares = [slice(*pair) for pair in pairwise(cuts)]
        before = sum(chip.cycles for chip in self.chips)
        try:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(partial(self._share, tiles), self.chips, shares))
        except RuntimeError as error:
            raise UserError(f"the compiled Verilog does not behave as the unit: {error}") from error
        used = sum(chip.cycles for chip in self.chips) - before
        self.compared = self.compared.plus(Compared(cycles=used))
        joined = {name: np.concatenate([part[name] for part, _ in parts]) for name in parts[0][0]}
        return joined, np.stack([flags for _, flags in parts])

    def _share(self, tiles: Sequence[Load], chip: Chip, share: slice) -> Outputs:
        """Run the rows of a share on one chip, as many columns at a time as it stores."""
        columns = next(iter(tiles[0].inputs.values())).shape[1]
        blocks = [slice(n, min(n + chip.columns, columns)) for n in range(0, columns, chip.columns)]
        parts = [self._block(tiles, chip, share, block) for block in blocks]
        joined = {name: np.concatenate([part[name] for part, _ in parts], axis=1) for name in parts[0][0]}
        return joined, np.concatenate([flags for _, flags in parts])

    def _block(self, tiles: Sequence[Load], chip: Chip, share: slice, block: slice) -> Outputs:
        rows, columns = share.stop - share.start, block.stop - block.start
        words = self.words(columns)
        width = words * chip.units
        copies = chip.columns // width  # narrow vectors lie side by side: the store holds their parameters so often
        padded = -(-rows // copies) * copies
        flags = np.zeros(columns, bool)
        out: Mapping[str, NDArray[Any]] = {}
        received: dict[str, Any] = {}
        for parameters, registers, inputs in tiles:

            def laid(values: NDArray[Any]) -> Integers:
                values = values[share, block]
                if (rows, columns) == (padded, width):
                    return values.astype(np.int32).reshape(-1, chip.units)
                held = np.zeros((padded, width), np.int32)
                held[:rows, :columns] = values
                held[rows:] = held[rows - 1]  # the last row again: it raises no flag of its own
                return held.reshape(-1, chip.units)

            store = {name: np.pad(values[block], (0, width - columns)) for name, values in parameters.items()}
            chip.write({name: np.tile(values, copies) for name, values in store.items()})
            chip.layer(registers)
            out = chip.stream({name: laid(values) for name, values in inputs.items()} | received, stalls=STALLS)
            received = {"received": out["sum"] if "sum" in out else out.get("half", 0)}
            flags |= chip.flags().reshape(copies, width)[:, :columns].any(axis=0)
        return {name: values.reshape(padded, width)[:rows, :columns] for name, values in out.items()}, flags

    def check(self, made: Tensor, saturated: NDArray[np.bool_], golden: tuple[Tensor, Tensor]) -> None:
        """Compare what was made, and the flags of each thread's rows, with the golden model's."""
        same = (made == golden[0]) | (made.isnan() & golden[0].isnan())
        bits = golden[1].numpy()
        cuts = [len(bits) * n // len(saturated) for n in range(len(saturated) + 1)]
        rows = [bits[slice(*pair)].any(axis=0) for pair in pairwise(cuts)]
        flags = int((np.stack(rows) != saturated).sum())
        self.compared = self.compared.plus(Compared(made.numel(), int((~same).sum()), flags))
