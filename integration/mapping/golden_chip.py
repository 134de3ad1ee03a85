"""The golden model behind the ports of a unit, one chip's streams and parameter store, and what passed through them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from golden_model.fp16_unit import Fp16Columns, Fp16Config, fp16_unit
from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Layer, NmpuConfig
from synth.compiled.harness import Harness

Arrays = dict[str, NDArray[Any]]


class Step(NamedTuple):
    """One parameter load and the words that followed it."""

    parameters: Arrays
    """By field, (columns of the store,)."""
    registers: dict[str, int]
    inputs: Arrays
    """By field, (words, units)."""
    outputs: Arrays
    flags: NDArray[np.bool_]


class GoldenChip:
    """What `synth.compiled.CompiledUnit` is, computed by the golden model; `steps` keeps what went through."""

    cycles = 0

    def __init__(self, unit: str, config: NmpuConfig | Fp16Config) -> None:
        self.harness = Harness(unit, config)
        self.config = config
        self.units, self.columns = config.units, config.units * config.columns
        fields = self.harness.fields
        self.inputs, self.outputs, self.parameters, self.registers = (
            {field.name: field for field in fields[kind]} for kind in ("i", "o", "write", "layer")
        )
        self.steps: list[Step] = []

    def write(self, columns: Mapping[str, Any]) -> None:
        """Take the parameters of every column."""
        self._columns = {name: np.asarray(columns[name]) for name in self.parameters}

    def layer(self, registers: Mapping[str, int]) -> None:
        """Take the layer registers."""
        self._registers = {name: int(registers[name]) for name in self.registers}

    def stream(self, words: Mapping[str, Any], *, stalls: tuple[int, int] = (0, 0)) -> Arrays:
        """Return what comes out for words, (words, units) arrays by field."""
        count = len(next(iter(words.values())))
        inputs = {name: np.broadcast_to(np.asarray(words.get(name, 0)), (count, self.units)) for name in self.inputs}
        vectors = {name: value.reshape(-1, self.columns).astype(np.int64) for name, value in inputs.items()}
        run = self._fp16 if isinstance(self.config, Fp16Config) else self._nmpu
        values, field, saturated = run(vectors)
        outputs = {name: np.zeros((count, self.units), np.int64) for name in self.outputs}
        outputs[field] = np.asarray(values).astype(np.int64).reshape(-1, self.units)
        flags = np.asarray(np.broadcast_to(np.asarray(saturated, bool), vectors["first"].shape).any(axis=0))
        self.steps.append(Step(self._columns, self._registers, inputs, outputs, flags))
        return outputs

    def flags(self) -> NDArray[np.bool_]:
        """Return the columns' flags."""
        return self.steps[-1].flags

    def _layer(self) -> Layer:
        on = self._registers
        before, after = (bool(on.get(name, 0)) for name in ("relu_before", "relu_after"))
        return Layer(shift=on.get("shift", 0), relu_before=before, relu_after=after)

    def _nmpu(self, vectors: Arrays) -> tuple[Any, str, Any]:
        assert isinstance(self.config, NmpuConfig)
        last = bool(self._registers.get("last", 1))
        values, saturated = nmpu(
            self.config,
            Columns(**{name: value.astype(np.int64) for name, value in self._columns.items()}),
            self._layer(),
            vectors["first"],
            vectors.get("second"),
            received=vectors["received"] if self._registers.get("receive", 0) else None,
            residual=vectors["residual"] if self._registers.get("add_residual", 0) and last else None,
            last=last,
        )
        return values, "code" if last else "sum", saturated

    def _fp16(self, vectors: Arrays) -> tuple[Any, str, Any]:
        assert isinstance(self.config, Fp16Config)

        def real(bits: NDArray[Any]) -> NDArray[np.float16]:
            return bits.astype(np.uint16).view(np.float16)

        on, whole = self._registers, self.config.int8
        last, logits = bool(on["last"]), bool(on["logits"] and on["last"])
        columns = {name: real(value) for name, value in self._columns.items()}
        values, saturated = fp16_unit(
            self.config,
            Fp16Columns(**({"scale_n": columns["scale_p"]} | columns)),
            vectors["first"],
            vectors.get("second"),
            received=(vectors["received"] if whole else real(vectors["received"])) if on["receive"] else None,
            residual=vectors["residual"] if on["add_residual"] and last else None,
            relu_before=bool(on["relu_before"]),
            relu_after=bool(on["relu_after"]),
            last=last,
            logits=logits,
        )
        if logits or not (last or whole):
            return np.asarray(values, np.float16).view(np.uint16), "half", saturated
        return values, "code" if last else "sum", saturated
