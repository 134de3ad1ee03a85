"""A calibrated network: float parameters and statistics of each layer, from which every unit's parameters are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from golden_model.errors import UserError
from golden_model.nmpu_config import Layer as UnitLayer
from integration.mapping.operations import Graph, Layer
from sim.devices import Floats
from sim.encode import PERCENTILE
from sim.tile import ProgrammedLayer, Tile


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How calibration is done. The defaults are ours."""

    images: int = 256
    """Training images, the first ones of the set."""
    percentile: float = PERCENTILE
    """Percentile of magnitudes that takes the largest code, for inputs, outputs and converter currents."""
    ridge: float = 0.01
    """Pull of the two scales of a column towards the nominal gain, in the mean diagonal of their normal equations."""
    largest_offset: float = 62.0
    """Output LSB: a layer's output scale is widened until every offset is within this. 62 leaves SQ(7,1) some room."""
    largest_scale: float = 1.98
    """Likewise for scales: within UQ(1,7)."""

    def __post_init__(self) -> None:
        if self.images < 1 or not 0 < self.percentile <= 100 or self.ridge < 0:
            raise UserError("calibration takes images >= 1, 0 < percentile <= 100 and ridge >= 0")
        if self.largest_offset <= 0 or self.largest_scale <= 0:
            raise UserError("largest_offset and largest_scale are above 0")


@dataclass(slots=True, kw_only=True)
class MeasuredLayer:
    """One layer as its digital unit sees it: the float parameters that every unit quantises.

    In real units the layer computes gamma * S_in * sum over tiles of (a_p P - a_n N + b) + beta.
    """

    layer: Layer
    input_scale: float
    """Real value of one LSB of the input codes."""
    output_scale: float
    """Real value of one LSB of the output codes, the same for every unit."""
    residual_scale: float | None
    """Real value of one LSB of the residual codes."""
    logits: bool
    """Whether the result leaves unquantised."""
    gains: Floats
    """a_p and a_n: weight per count, (tiles, lines, columns), lines = 2, or 1 for a signed code."""
    offsets: Floats
    """b: (tiles, columns)."""
    means: Floats
    """Mean of each count over the calibration rows, (tiles * lines, columns)."""
    covariances: Floats
    """Covariance of the counts of one column, (tiles * lines, tiles * lines, columns)."""

    @property
    def relus(self) -> UnitLayer:
        """Return the run-time parameters that all units share."""
        return UnitLayer(relu_before=self.layer.relu_before, relu_after=self.layer.relu_after)

    @property
    def factor(self) -> Floats:
        """Return what turns a_p P - a_n N + b into output LSB, a column, signed."""
        factor: Floats = self.input_scale * self.layer.gamma / self.output_scale
        return factor

    @property
    def total_offset(self) -> Floats:
        """Return the offset of the whole column, output LSB."""
        total: Floats = self.offsets.sum(0) * self.factor + self.layer.beta / self.output_scale
        return total


@dataclass(slots=True, kw_only=True)
class CalibratedLayer(MeasuredLayer):
    """One layer, programmed onto tiles and measured there."""

    programmed: ProgrammedLayer


@dataclass(slots=True, kw_only=True)
class Calibrated:
    """A calibrated network: the graph with programmed layers and the scale of every value."""

    tile: Tile
    calibration: Calibration
    seed: int
    graph: Graph
    input_scale: float
    layers: list[CalibratedLayer] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    """Real value of one LSB of each value."""
