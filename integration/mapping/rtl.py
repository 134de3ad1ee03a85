"""The compiled Verilog as a digital unit: every tile of every layer goes through streams, parameter loads and stalls.

The row of such a unit is computed by the hardware alone. The golden model gets the same read-outs beside it, and every
code, logit and saturation flag of the two is compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from golden_model.fp16_unit import Fp16Columns
from golden_model.nmpu_config import Columns, Layer
from integration.mapping.chips import Bench, Load, compiled
from sim.digital import Fp16Unit, NmpuUnit, Parameters, Reading
from synth.compiled import Engine


def _loads(
    held: Callable[[Parameters], Mapping[str, Any]],
    tiles: Sequence[Parameters],
    layer: Layer,
    readings: Sequence[Reading],
    residual: Tensor | None,
    *,
    logits: bool,
) -> list[Load]:
    """Return what every tile of a layer loads and streams; `held`: a tile's parameters as the store takes them."""
    loads = []
    for index, (columns, reading) in enumerate(zip(tiles, readings, strict=True)):
        registers = _registers(layer, index, len(tiles), residual, logits=logits)
        operand = residual if registers["add_residual"] else None
        words = {"first": reading[0], "second": reading[1], "residual": operand}
        inputs = {name: value.numpy() for name, value in words.items() if value is not None}
        width = reading[0].shape[1]
        parameters = {name: np.broadcast_to(np.asarray(value), (width,)) for name, value in held(columns).items()}
        loads.append(Load(parameters, registers, inputs))
    return loads


def _registers(layer: Layer, index: int, tiles: int, residual: Tensor | None, *, logits: bool) -> dict[str, int]:
    """Return the layer registers of one tile."""
    last = index == tiles - 1
    return {
        "shift": layer.shift,
        "relu_before": int(layer.relu_before),
        "relu_after": int(layer.relu_after),
        "receive": int(index > 0),
        "add_residual": int(last and residual is not None),
        "last": int(last),
        "logits": int(logits),
    }


@dataclass(frozen=True, kw_only=True)
class _Hardware(ABC):
    """What a unit becomes whose Verilog computes: mixed in front of its golden model."""

    engine: Engine = Engine.CXXRTL
    """What compiles it."""
    verilog: str = ""
    """A file of other Verilog with the same ports, in place of what the configuration elaborates to."""
    unit: ClassVar[str]
    """Name in the registry."""
    fuses: ClassVar[bool] = False

    @cached_property
    def bench(self: Any) -> Bench:
        """Return the chips; the configuration is the golden model's."""
        return Bench(compiled(self.unit, self.config, self.engine, self.verilog))

    @abstractmethod
    def held(self, columns: Parameters) -> Mapping[str, Any]:
        """Return a tile's parameters as the store takes them."""

    @abstractmethod
    def made(self, out: Mapping[str, Any], *, logits: bool) -> Tensor:
        """Return codes, or logits in output LSB, of the fields that leave the last tile."""

    def finish(
        self,
        tiles: Sequence[Parameters],
        layer: Layer,
        readings: Sequence[Reading],
        residual: Tensor | None,
        *,
        logits: bool,
    ) -> tuple[Tensor, Tensor]:
        """Chain the tiles through the chips; compare with the golden model."""
        golden = super().finish(  # type: ignore[misc]  # of the unit behind
            tiles, layer, readings, residual, logits=logits
        )
        loads = _loads(self.held, tiles, layer, readings, residual, logits=logits)
        if logits and "logits" not in self.bench.chips[0].registers:
            loads[-1].registers["last"] = 0  # logits are the sum
        out, flags = self.bench.run(loads)
        made = self.made(out, logits=logits)
        self.bench.check(made, flags, golden)
        return made, golden[1]


@dataclass(frozen=True, kw_only=True)
class NmpuRtl(_Hardware, NmpuUnit):
    """The NMPU's Verilog, compiled."""

    name: str = "NMPU RTL"
    unit: ClassVar[str] = "nmpu"

    def held(self, columns: Parameters) -> Mapping[str, Any]:
        """Return a tile's parameters as the store takes them."""
        whole = Columns(**columns)
        return {name: getattr(whole, name) for name in self.bench.chips[0].parameters}

    def made(self, out: Mapping[str, Any], *, logits: bool) -> Tensor:
        """Return codes, or logits in output LSB."""
        values = torch.from_numpy(out["sum" if logits else "code"].astype(np.float32))
        return values * 2.0 ** -(self.config.sum_fraction + self.config.cut_post) if logits else values


@dataclass(frozen=True, kw_only=True)
class Fp16Rtl(_Hardware, Fp16Unit):
    """The FP16 unit's Verilog, compiled."""

    name: str = "FP16 RTL"
    unit: ClassVar[str] = "fp16_unit"

    def held(self, columns: Parameters) -> Mapping[str, Any]:
        """Return a tile's parameters as the store takes them: binary16 as its bits."""
        whole = Fp16Columns(**columns)
        values = {name: np.asarray(getattr(whole, name)) for name in self.bench.chips[0].parameters}
        return {name: value.astype(np.float16).view(np.uint16) for name, value in values.items()}

    def made(self, out: Mapping[str, Any], *, logits: bool) -> Tensor:
        """Return codes, or logits in output LSB."""
        values = out["half"].astype(np.uint16).view(np.float16) if logits else out["code"]
        return torch.from_numpy(values.astype(np.float32))
