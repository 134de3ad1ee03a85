"""The digital unit behind the converters, as a stage of the tile: float, FP16 or NMPU, on the same read-outs.

The NMPU and the FP16 unit are the golden model itself, run on tensors; only the float unit is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeAlias, cast

import torch
from torch import Tensor

from golden_model.fixed import SYM8, Format
from golden_model.float16 import Arithmetic
from golden_model.fp16_unit import Fp16Columns, Fp16Config, fp16_unit
from golden_model.nmpu import Output, nmpu
from golden_model.nmpu_config import Columns, Layer, NmpuConfig
from sim import float16

Reading: TypeAlias = tuple[Tensor, Tensor | None]
"""One tile's read-out: the two counts, or the signed code and None; float32 integers, (rows, columns)."""

Parameters: TypeAlias = Mapping[str, Any]
"""One tile's run-time parameters of a unit, by field name: a tensor (columns,), or one number for all columns."""


class Digital(Protocol):
    """A digital unit. Instances are values: frozen and hashable."""

    fuses: ClassVar[bool]
    """Whether `finish` is plain tensor arithmetic, which may be compiled into one kernel with the read-out."""

    @property
    def name(self) -> str:
        """Return what tables call the unit."""

    @property
    def output(self) -> Format:
        """Return the format of the codes that leave."""

    def finish(
        self,
        tiles: Sequence[Parameters],
        layer: Layer,
        readings: Sequence[Reading],
        residual: Tensor | None,
        *,
        logits: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return codes (float32 integers), or logits in output LSB, and where they saturated; (rows, columns)."""


def _chain(
    tiles: Sequence[Parameters],
    readings: Sequence[Reading],
    step: Callable[[Parameters, Reading, Any, bool], Output],
) -> tuple[Tensor, Tensor]:
    """Pass each tile's partial sum to the next; return the last one's values and where any tile saturated."""
    received: Any = None
    flagged: Any = None
    for index, (columns, reading) in enumerate(zip(tiles, readings, strict=True)):
        received, saturated = step(columns, reading, received, index == len(tiles) - 1)
        flagged = saturated if flagged is None else saturated | flagged
    return received, flagged


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatUnit:
    """Affine correction, sum, residual and ReLU in float32, in tile order; only the output is quantised (half up)."""

    fuses: ClassVar[bool] = True
    output: Format = SYM8
    """Format of the codes that leave."""
    name: str = "float"
    """What tables call the unit."""

    def finish(
        self,
        tiles: Sequence[Parameters],
        layer: Layer,
        readings: Sequence[Reading],
        residual: Tensor | None,
        *,
        logits: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return sum(P * scale_p - N * scale_n) + offset, finished; parameters in output LSB."""
        total = tiles[0]["offset"]
        for columns, (first, second) in zip(tiles, readings, strict=True):
            total = total + first * columns["scale_p"]
            if second is not None:
                total = total - second * columns["scale_n"]
        if logits:
            return total, total != total
        if layer.relu_before:
            total = total.clip(0, None)
        if residual is not None:
            total = total + residual * tiles[-1]["residual_scale"]
        if layer.relu_after:
            total = total.clip(0, None)
        rounded = torch.floor(total + 0.5)
        codes = rounded.clip(self.output.range.lo, self.output.range.hi)
        return codes, codes != rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp16Unit:
    """`golden_model.fp16_unit` on tensors: parameters are float32 carriers of binary16 values."""

    fuses: ClassVar[bool] = True
    config: Fp16Config = field(default_factory=Fp16Config)
    """What the unit is built for."""
    name: str = "FP16"
    """What tables call the unit."""

    @property
    def output(self) -> Format:
        """Return the format of the codes that leave."""
        return self.config.output

    def finish(
        self,
        tiles: Sequence[Parameters],
        layer: Layer,
        readings: Sequence[Reading],
        residual: Tensor | None,
        *,
        logits: bool,
    ) -> tuple[Tensor, Tensor]:
        """Chain the tiles through the unit."""

        def step(columns: Parameters, reading: Reading, received: Any, last: bool) -> Output:
            return fp16_unit(
                self.config,
                Fp16Columns(**columns),
                *reading,
                received=received,
                residual=residual if last else None,
                relu_before=layer.relu_before,
                relu_after=layer.relu_after,
                last=last,
                logits=logits,
                arithmetic=cast(Arithmetic, float16),
            )

        values, flagged = _chain(tiles, readings, step)
        return values.to(torch.float32), flagged


@dataclass(frozen=True, slots=True, kw_only=True)
class NmpuUnit:
    """`golden_model.nmpu` on integer tensors."""

    fuses: ClassVar[bool] = True
    config: NmpuConfig = field(default_factory=NmpuConfig)
    """What the unit is built for."""
    name: str = "NMPU"
    """What tables call the unit."""

    @property
    def output(self) -> Format:
        """Return the format of the codes that leave."""
        return self.config.output

    def integers(self, tiles: Sequence[Parameters], layer: Layer) -> torch.dtype:
        """Return int32 where the widths derived for these very shifts and tiles fit it, else int64.

        Fewer tiles and smaller shifts than the unit is built for change no value, only the widest intermediate.
        """

        def largest(name: str) -> int:
            return max(int(torch.as_tensor(columns.get(name, 0)).max()) for columns in tiles)

        narrow = replace(
            self.config,
            cut_post=0,
            max_tiles=min(len(tiles), self.config.max_tiles),
            max_layer_shift=layer.shift,
            max_column_shift=largest("shift"),
            max_bn_shift=largest("bn_shift"),
            max_residual_shift=largest("residual_shift"),
        )
        return torch.int32 if narrow.widest_bits <= 31 else torch.int64

    def finish(
        self,
        tiles: Sequence[Parameters],
        layer: Layer,
        readings: Sequence[Reading],
        residual: Tensor | None,
        *,
        logits: bool,
    ) -> tuple[Tensor, Tensor]:
        """Chain the tiles through the unit; integers of the width that the parameters' tensors have."""
        dtype = tiles[0]["scale_p"].dtype
        operand = None if residual is None else residual.to(dtype)

        def step(columns: Parameters, reading: Reading, received: Any, last: bool) -> Output:
            first, second = reading
            return nmpu(
                self.config,
                Columns(**columns),
                layer,
                first.to(dtype),
                None if second is None else second.to(dtype),
                received=received,
                residual=operand if last else None,
                last=last and not logits,
            )

        total, flagged = _chain(tiles, readings, step)
        values = total.to(torch.float32)
        lsb = 2.0 ** -(self.config.sum_fraction + self.config.cut_post)
        return values * lsb if logits else values, flagged
