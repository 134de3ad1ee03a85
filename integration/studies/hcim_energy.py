"""Energy of HCiM's read-out from the work that real data made it do, beside the paper's comparison of read-outs.

    ADC       conversions * (conversion + shift-add)                    a conversion a word: a column and an input bit
    binary    words * (comparison + E(0)) + sums * shift-add            no word is skipped
    ternary   words * (2 comparisons + E(zeros)) + sums * shift-add     layer by layer; E, a word: hcim_figures

The read-out part only: of the crossbar, drivers, buffers and network no energy was readable. What the paper compares is
the whole system, so its ratios and ours are not the same quantity.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from golden_model.errors import UserError
from golden_model.scale_array.config import HCIM_A, ScaleArrayConfig
from golden_model.scale_array.model import Activity
from integration.studies import hcim_figures as figures
from integration.studies.hcim_figures import ADCS, COMPARATOR, CONVERTERS, REGISTERS, SHIFT_ADD, DcimArray, Design


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWork:
    """What a layer's arrays did over all images of a run, in the ternary mode.

    Words of used columns only. Refuses (UserError) counts that contradict each other: zeros + plus + minus =
    activity.operations, plus + minus = activity.computes, stores <= computes <= reads <= operations.
    """

    name: str
    vectors: int
    """Matrix-vector products of all images: images * pixels of the output."""
    tiles: int
    """Row tiles: crossbars that the layer's rows are spread over."""
    channels: int
    """Outputs of the layer."""
    slices: int
    """Weight slices: physical columns a channel."""
    rows: int
    """Inputs of the matrix, for example kernel positions * input channels."""
    activity: Activity
    """The counters of `golden_model.scale_array.model.activity`, or the hardware's, summed."""
    zeros: int
    """Words with p = 0."""
    plus: int
    """Words with p = +1."""
    minus: int
    """Words with p = -1."""

    def __post_init__(self) -> None:
        work = self.activity
        _counts(self.name, vectors=self.vectors, zeros=self.zeros, plus=self.plus, minus=self.minus, **asdict(work))
        for name, value in (("tiles", self.tiles), ("channels", self.channels), ("slices", self.slices)):
            if value < 1:
                raise UserError(f"{self.name}: {name} = {value}; a layer has at least 1")
        if self.rows < 1:
            raise UserError(f"{self.name}: rows = {self.rows}; a layer has at least 1")
        if self.zeros + self.plus + self.minus != work.operations:
            raise UserError(
                f"{self.name}: {self.zeros} zeros, {self.plus} plus and {self.minus} minus are not the "
                f"{work.operations} words of its counters"
            )
        if self.plus + self.minus != work.computes:
            raise UserError(
                f"{self.name}: {work.computes} computed words, {self.plus + self.minus} with p = +1 or -1; "
                "count them in the ternary mode"
            )
        if not work.stores <= work.computes <= work.reads <= work.operations:
            raise UserError(
                f"{self.name}: {work.operations} operations, {work.reads} reads, {work.computes} computes, "
                f"{work.stores} stores; none can exceed the one before"
            )

    @property
    def sums(self) -> int:
        """Return the finished sums, one a column of a tile and vector."""
        return self.vectors * self.tiles * self.channels * self.slices

    @property
    def zero_fraction(self) -> float:
        """Return the fraction of words with p = 0; 0 where there was no work."""
        return self.zeros / self.activity.operations if self.activity.operations else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkWork:
    """A network's layers over a number of images, on arrays of one geometry.

    Refuses (UserError) words that are not streams * sums, more rows than the tiles hold, and arrays of which no energy
    is published.
    """

    network: str
    """Its name; figures of the paper are found by it: ResNet-20 or resnet20."""
    images: int
    layers: tuple[LayerWork, ...]
    config: ScaleArrayConfig = HCIM_A

    def __post_init__(self) -> None:
        if self.images < 1:
            raise UserError(f"{self.network}: images = {self.images}; energy an image needs at least 1")
        if not self.layers:
            raise UserError(f"{self.network}: no layers; give the work of at least one")
        figures.array_of(self.config)
        for layer in self.layers:
            words = layer.sums * self.config.streams
            if layer.activity.operations != words:
                raise UserError(
                    f"{layer.name}: {layer.activity.operations} words, but {layer.vectors} vectors, {layer.tiles} "
                    f"tiles, {layer.channels} channels, {layer.slices} slices "
                    f"and {self.config.streams} streams make {words}"
                )
            if layer.rows > layer.tiles * self.config.columns:
                raise UserError(f"{layer.name}: {layer.rows} rows; {layer.tiles} tiles hold {self.config.columns} each")

    @property
    def array(self) -> DcimArray:
        """Return the published array of its geometry."""
        return figures.array_of(self.config)


def _counts(name: str, **counts: int) -> None:
    for what, value in counts.items():
        if value < 0:
            raise UserError(f"{name}: {what} = {value}; a count is 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy of the read-out, by part, pJ."""

    conversion_pj: float = 0.0
    comparison_pj: float = 0.0
    array_pj: float = 0.0
    shift_add_pj: float = 0.0

    @property
    def total_pj(self) -> float:
        """Return the sum of the parts."""
        return self.without_comparators_pj + self.comparison_pj

    @property
    def without_comparators_pj(self) -> float:
        """Return the sum without the one part whose figure the paper does not give."""
        return self.conversion_pj + self.array_pj + self.shift_add_pj

    def __add__(self, other: Energy) -> Energy:
        return Energy(**{name: getattr(self, name) + getattr(other, name) for name in Energy.__slots__})


def layer_energy(
    layer: LayerWork, array: DcimArray, design: Design, *, comparator_pj: float = COMPARATOR.pj, scale: float = 1.0
) -> Energy:
    """Return a layer's energy with a read-out, times `scale`. ADCs and the binary array do the same work, ungated."""
    if not (math.isfinite(comparator_pj) and comparator_pj >= 0):
        raise UserError(f"comparator_pj = {comparator_pj}: an energy of 0 pJ or more")
    words = layer.activity.operations * scale
    if design in ADCS:
        return Energy(conversion_pj=words * CONVERTERS[design].pj, shift_add_pj=words * SHIFT_ADD.pj)
    ternary = design is Design.TERNARY
    return Energy(
        comparison_pj=words * comparator_pj * (2 if ternary else 1),
        array_pj=words * array.word_pj(layer.zero_fraction if ternary else 0.0),
        shift_add_pj=layer.sums * scale * SHIFT_ADD.pj,
    )


def image_energy(work: NetworkWork, design: Design, *, comparator_pj: float = COMPARATOR.pj) -> Energy:
    """Return a network's energy with a read-out, one image."""
    array = work.array
    parts = (
        layer_energy(layer, array, design, comparator_pj=comparator_pj, scale=1 / work.images) for layer in work.layers
    )
    return sum(parts, start=Energy())


def fitted_pj(activity: Activity, array: DcimArray) -> float:
    """Return the array's energy from the counters alone: fixed * operations + compute * computes, Fig. 5a fitted."""
    return array.fit.fixed_pj * activity.operations + array.fit.compute_pj * activity.computes


def registers_pj(activity: Activity) -> float:
    """Return what the same reads, computes and stores cost in a register file and an adder beside it (inferred).

    A second source, which prices each counter: the reads of the last stream and the stores that fall away there count.
    """
    return (activity.reads + activity.stores) * REGISTERS.pj + activity.computes * SHIFT_ADD.pj


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One design: the paper's ratios to HCiM ternary beside ours. None: not in the paper."""

    design: Design
    energy: Energy
    """Ours, one image."""
    paper: float | None
    """Energy of the whole system, Fig. 6a or 7."""
    without_comparators: float
    """Energy of the read-out, ours."""
    with_comparators: float
    paper_latency_area: float | None
    latency_area: float
    """Of the read-out, from Table 3."""


def compare(work: NetworkWork, *, comparator_pj: float = COMPARATOR.pj) -> tuple[Row, ...]:
    """Return every design; UserError where nothing was worked on, since a ratio would mean nothing."""
    if not any(layer.activity.operations for layer in work.layers):
        raise UserError(f"{work.network}: no word passed its arrays; run at least one image")
    energies = {design: image_energy(work, design, comparator_pj=comparator_pj) for design in Design}
    theirs = figures.published(figures.ENERGY, work.array.name, work.network)
    products = figures.published(figures.LATENCY_AREA, work.array.name, work.network)
    one = energies[Design.TERNARY]
    return tuple(
        Row(
            design=design,
            energy=energy,
            paper=theirs.get(design),
            without_comparators=energy.without_comparators_pj / one.without_comparators_pj,
            with_comparators=energy.total_pj / one.total_pj,
            paper_latency_area=products.get(design),
            latency_area=figures.latency_area(design, work.array),
        )
        for design, energy in energies.items()
    )


def break_even_pj(work: NetworkWork) -> float:
    """Return the energy of a comparison at which ternary's second comparator costs what its zeros save, pJ."""
    array, words = work.array, sum(layer.activity.operations for layer in work.layers)
    saved = sum(
        layer.activity.operations * (array.word_pj(0.0) - array.word_pj(layer.zero_fraction)) for layer in work.layers
    )
    return saved / words if words else 0.0
