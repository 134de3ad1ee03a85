"""What each layer does on the tile: error of the matrix-vector product, saturation, parameters clipped."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from integration.mapping.calibrate import ideal_products
from integration.mapping.network import ConvertedNetwork, LayerStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer with one unit."""

    layer: str
    unit: str
    tiles: int
    rows: int
    """Rows of the largest tile."""
    columns: int
    output_scale: float
    """Real value of one output LSB."""
    error: float
    """RMS difference of the codes from the exact result for the same input codes, clipped alike, output LSB."""
    saturated: float
    """Share of results that saturated, %."""
    clipped: int
    """Parameters that the unit's formats could not hold: scales, offsets, and columns whose scales round to 0."""


def layer_rows(network: ConvertedNetwork, images: Tensor, *, first: int = 0) -> list[LayerRow]:
    """Return a row for each layer and unit, measured on some images, each unit on the codes of its own chain."""
    rows: list[LayerRow] = []
    for name, unit in network.units.items():

        def watch(seen: LayerStatistics, name: str = name, high: int = unit.output.range.hi) -> None:
            calibrated = network.calibrated.layers[seen.index]
            tiles = calibrated.programmed.tiles
            products, lsb = ideal_products(tiles, seen.layer.weights, seen.codes)
            exact = sum(p.double() for p in products) * torch.from_numpy(lsb * calibrated.factor)
            exact = exact + torch.from_numpy(seen.layer.beta / calibrated.output_scale)
            if seen.layer.relu_before:
                exact = exact.clip(0, None)
            if seen.residual is not None and calibrated.residual_scale is not None:
                operand = seen.residual.permute(0, 2, 3, 1).reshape(exact.shape).double()
                exact = exact + operand * (calibrated.residual_scale / calibrated.output_scale)
            if seen.layer.relu_after:
                exact = exact.clip(0, None)
            if not calibrated.logits:
                exact = exact.clip(-high, high)
            result = seen.result.permute(0, 2, 3, 1).reshape(exact.shape).double()
            clips = network.prepared[name][seen.index].clips
            rows.append(
                LayerRow(
                    layer=seen.layer.name,
                    unit=name,
                    tiles=len(tiles.rows),
                    rows=tiles.largest_rows,
                    columns=calibrated.programmed.columns,
                    output_scale=calibrated.output_scale,
                    error=float((result - exact).square().mean().sqrt()),
                    saturated=100.0 * float(seen.saturated.double().mean()),
                    clipped=clips.scales + clips.offsets + clips.zeros,
                )
            )

        network.run(images, name, first=first, compiled=False, watch=watch)
    return rows
