"""What a mapped network is made of: a list of operations on codes, each reading earlier values by number.

Only `Layer` runs on tiles. The others move, compare or add codes in the digital domain, the same for every unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from golden_model.errors import UserError
from golden_model.fixed import SYM8, Rounding, round_shift, saturate
from sim.array import Geometry
from sim.devices import Floats


@dataclass(slots=True, kw_only=True)
class Layer:
    """A convolution or linear layer with what the digital unit folds: batch norm, residual add, ReLUs."""

    name: str
    """The module's qualified name."""
    source: int
    """The value it reads."""
    weights: Floats
    """Shape (columns, inputs, kernel height, kernel width), float64."""
    geometry: Geometry
    gamma: Floats
    """Per column: weight / sqrt(variance + eps) of the batch norm behind it, else 1."""
    beta: Floats
    """Per column: what is added behind gamma: bias and batch norm's shift."""
    normalised: bool = False
    """Whether a batch norm was folded."""
    residual: int | None = None
    """The value that is added, if any."""
    relu_before: bool = False
    """ReLU before the add."""
    relu_after: bool = False
    """ReLU behind the add; the one ReLU of a layer without one."""
    flat: bool = False
    """Whether it is a linear layer, whose values have no height and width."""

    @property
    def sources(self) -> tuple[int, ...]:
        """Return the values it reads."""
        return (self.source,) if self.residual is None else (self.source, self.residual)


@dataclass(slots=True, kw_only=True)
class MaxPool:
    """The largest code of each window."""

    source: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    def apply(self, x: Tensor) -> Tensor:
        """Return the pooled codes."""
        return F.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation)


@dataclass(slots=True, kw_only=True)
class SumPool:
    """Average pooling: an exact sum of codes and one named rounding, y = saturate(round_shift(sum, shift)).

    The mean's divisor goes into the scale: S_out = S_in * 2**shift / (window size). Calibration chooses the shift.
    """

    source: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    shift: int = 0
    rounding: Rounding = Rounding.HALF_UP
    squeeze: bool = False
    """Whether height and width (1 x 1) are dropped, as `mean((2, 3))` does."""

    @property
    def count(self) -> int:
        """Return the number of codes in a window."""
        return self.kernel[0] * self.kernel[1]

    def sums(self, x: Tensor) -> Tensor:
        """Return the window sums: exact, float32 holds every sum of fewer than 2**17 codes."""
        return F.avg_pool2d(x, self.kernel, self.stride, self.padding, divisor_override=1)

    def apply(self, x: Tensor) -> Tensor:
        """Return the pooled codes."""
        total = round_shift(self.sums(x).int(), self.shift, self.rounding)
        y: Tensor = saturate(total, SYM8).to(x.dtype)
        return y.flatten(1) if self.squeeze else y


@dataclass(slots=True, kw_only=True)
class Slice:
    """Every so-many-th code of channels, rows and columns."""

    source: int
    index: tuple[tuple[int | None, int | None, int | None], ...]
    """Start, stop, step for each dimension behind the batch."""

    def apply(self, x: Tensor) -> Tensor:
        """Return the codes selected."""
        return x[(slice(None), *(slice(*part) for part in self.index))]


@dataclass(slots=True, kw_only=True)
class Pad:
    """Zeros around the codes, in torch's order: last dimension first."""

    source: int
    pads: tuple[int, ...]

    def apply(self, x: Tensor) -> Tensor:
        """Return the padded codes."""
        return F.pad(x, self.pads)


@dataclass(slots=True, kw_only=True)
class Flatten:
    """All dimensions behind the batch as one."""

    source: int

    def apply(self, x: Tensor) -> Tensor:
        """Return the codes in channel, row, column order."""
        return x.flatten(1)


Move: TypeAlias = MaxPool | SumPool | Slice | Pad | Flatten
Operation: TypeAlias = Layer | Move


@dataclass(slots=True, kw_only=True)
class Graph:
    """A network as operations: value 0 is the input image, operation i makes value i + 1, the last is the result."""

    operations: list[Operation] = field(default_factory=list)
    nodes: tuple[str, ...] = ()
    """The traced node that last changes each value, by number; others may read it before one that only passes it on."""

    @property
    def layers(self) -> list[Layer]:
        """Return the operations that run on tiles, in order."""
        return [operation for operation in self.operations if isinstance(operation, Layer)]

    def last_uses(self) -> list[list[int]]:
        """Return, for each operation, the values that nothing reads after it."""
        final = {0: 0}
        for index, operation in enumerate(self.operations):
            for value in sources(operation):
                final[value] = index
        done: list[list[int]] = [[] for _ in self.operations]
        for value, index in final.items():
            done[index].append(value)
        return done


def sources(operation: Operation) -> tuple[int, ...]:
    """Return the values that an operation reads."""
    return operation.sources if isinstance(operation, Layer) else (operation.source,)


def finite(name: str, values: Any) -> Floats:
    """Return an array as float64; NaN or infinity is refused, naming the parameter."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise UserError(f"{name}: {int((~np.isfinite(array)).sum())} values are NaN or infinite; mend the checkpoint")
    return array
