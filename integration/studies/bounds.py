"""The architect's table: what bounds each layer, the matrix-vector product or the digital unit behind it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from integration.zoo.networks import build
from synth.compare import figures
from synth.compare.candidates import COLUMNS
from synth.compare.comparison import Comparison
from synth.compare.figures import Best

ROWS = 256
"""Rows of a crossbar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One layer. Every crossbar has a digital unit of its own, so that all tiles of a layer work at the same time."""

    layer: str
    """The module's name."""
    rows: int
    """Inputs of the matrix."""
    columns: int
    """Outputs of the matrix."""
    tiles: int
    """Crossbars: ceil(rows / 256) x ceil(columns / 256)."""
    vectors: int
    """Matrix-vector products of one image: pixels of the output."""
    nmpu_ns: float
    """Time that the NMPU needs for one vector's columns in steady state: ceil(columns / lanes) x period."""
    fp16_ns: float
    """The FP16 unit's, likewise: columns x period."""
    points: int
    """Data points of one image that the digital units take: vectors x columns x tiles that a column is spread over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """All layers of a network."""

    network: str
    product_ns: float
    """Time of a matrix-vector product."""
    nmpu: str
    """The NMPU's name."""
    fp16: str
    """The FP16 unit's name."""
    fill_ns: dict[str, float]
    """By unit: what the last vector of a layer takes beyond its steady time, latency x period."""
    point_fj: dict[str, float | None]
    """By unit: energy of a data point while words stream, fJ; None where it was not measured."""
    layers: tuple[Bound, ...]

    def layer_us(self, layer: Bound, unit: str) -> float:
        """Return the time of a layer: vectors x max(product, digital) + fill of the pipeline, us."""
        digital = layer.nmpu_ns if unit == "nmpu" else layer.fp16_ns
        return (layer.vectors * max(self.product_ns, digital) + self.fill_ns[unit]) / 1e3

    def total_us(self, unit: str) -> float:
        """Return the time of all layers, one after the other, us."""
        return sum(self.layer_us(layer, unit) for layer in self.layers)

    def layer_nj(self, layer: Bound, unit: str) -> float | None:
        """Return the digital energy of a layer: data points x energy of a data point, nJ."""
        point = self.point_fj[unit]
        return None if point is None else layer.points * point / 1e6

    def total_nj(self, unit: str) -> float | None:
        """Return the digital energy of all layers, nJ."""
        point = self.point_fj[unit]
        return None if point is None else sum(layer.points for layer in self.layers) * point / 1e6

    def document(self) -> dict[str, Any]:
        """Return the table as JSON takes it."""
        units = ("nmpu", "fp16")
        totals = {f"total_{unit}_us": self.total_us(unit) for unit in units}
        return asdict(self) | totals | {f"total_{unit}_nj": self.total_nj(unit) for unit in units}


def bounds(
    network: str, comparison: Comparison, *, product_ns: float, image: tuple[int, int, int] = (3, 32, 32)
) -> Bounds:
    """Return what bounds each layer of a network, on the headline NMPU and on the fastest FP16 unit.

    Raises UserError for an unknown network.
    """
    model = build(network, in_channels=image[0]).eval()
    nmpu = figures.best([comparison.headline], figures.vector_ps, least=True)
    fp16 = figures.best(comparison.fp16, figures.vector_ps, least=True)
    layers: list[Bound] = []

    def watch(name: str) -> Any:
        def seen(module: nn.Module, _: Any, output: Tensor) -> None:
            weights = module.weight
            assert isinstance(weights, Tensor)
            columns, rows = weights.shape[0], weights[0].numel()
            layers.append(
                Bound(
                    layer=name,
                    rows=rows,
                    columns=columns,
                    tiles=-(-rows // ROWS) * -(-columns // COLUMNS),
                    vectors=output[0].numel() // columns,
                    nmpu_ns=_digital_ns(nmpu, columns),
                    fp16_ns=_digital_ns(fp16, columns),
                    points=output[0].numel() * -(-rows // ROWS),
                )
            )

        return seen

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(watch(name))
    with torch.no_grad():
        model(torch.zeros(1, *image))
    fill = {
        unit: (best.unit.cycles.vector - best.unit.cycles.steady) * best.netlist.period_ps / 1e3
        for unit, best in (("nmpu", nmpu), ("fp16", fp16))
    }
    return Bounds(
        network=network,
        product_ns=product_ns,
        nmpu=nmpu.unit.label,
        fp16=fp16.unit.label,
        fill_ns=fill,
        point_fj={"nmpu": _point_fj(nmpu), "fp16": _point_fj(fp16)},
        layers=tuple(layers),
    )


def _digital_ns(best: Best, columns: int) -> float:
    """Return the time of one vector's columns in steady state, ns: a word a cycle."""
    return math.ceil(min(columns, COLUMNS) / best.unit.lanes) * best.netlist.period_ps / 1e3


def _point_fj(best: Best) -> float | None:
    """Return the energy of a data point in the netlist that the times are of, fJ."""
    return None if best.netlist.energy is None else figures.point_fj(best.unit, best.netlist)


def print_bounds(table: Bounds, console: Console) -> None:
    """Print a row a layer and the network's sums."""
    console.print(
        f"\n{table.network}, one image: {table.nmpu} and {table.fp16} behind a matrix-vector product of "
        f"{table.product_ns:g} ns (HERMES, paper: 133 ns one phase, 520 ns four phases). Layer time = vectors x "
        "max(product, digital) + fill; layers one after the other, a digital unit a crossbar."
    )
    shown = Table(box=None, pad_edge=False, header_style="")
    heads = ("layer", "rows", "col-\numns", "tiles", "vec-\ntors", "NMPU\nns", "FP16\nns")
    for index, head in enumerate((*heads, "NMPU\nus", "FP16\nus", "NMPU\nnJ", "FP16\nnJ")):
        shown.add_column(head, justify="right" if index else "left", no_wrap=True)
    for layer in table.layers:
        units = (("nmpu", layer.nmpu_ns), ("fp16", layer.fp16_ns))
        times = [f"{table.layer_us(layer, unit):.2f}{'*' * (ns > table.product_ns)}" for unit, ns in units]
        energies = [_nj(table.layer_nj(layer, unit)) for unit in ("nmpu", "fp16")]
        counts = map(str, (layer.rows, layer.columns, layer.tiles, layer.vectors))
        shown.add_row(layer.layer, *counts, f"{layer.nmpu_ns:.2f}", f"{layer.fp16_ns:.2f}", *times, *energies)
    sums = [f"{table.total_us(unit):.2f}" for unit in ("nmpu", "fp16")]
    sums += [_nj(table.total_nj(unit)) for unit in ("nmpu", "fp16")]
    shown.add_row("network", *[""] * 6, *sums)
    console.print(shown)
    console.print(
        "*: bound by the digital unit; every other layer by the matrix-vector product. Energy: of the digital units "
        "alone, in the netlists that the times are of: data points (vectors x columns x tiles that a column is spread "
        "over) x energy of one in the comparison's trace, whatever the layer. What a unit takes while it waits, lanes "
        "without a column, the array and its converters are not in it."
    )


def _nj(energy: float | None) -> str:
    return "not measured" if energy is None else f"{energy:.1f}"
