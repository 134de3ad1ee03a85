"""Presets: values of a chain, one file each."""

from __future__ import annotations

import difflib

from golden_model.errors import UserError
from sim.bit_slices import SlicedTile
from sim.presets.hcim import HCIM_A, HCIM_B, HCIM_WIDE
from sim.presets.hermes import HERMES
from sim.tile import Tile

__all__ = ["HCIM_A", "HCIM_B", "HCIM_WIDE", "HERMES", "PRESETS", "any_preset", "preset", "sliced_preset"]

PRESETS: dict[str, Tile | SlicedTile] = {tile.name: tile for tile in (HERMES, HCIM_A, HCIM_B, HCIM_WIDE)}
"""The presets by name."""


def any_preset(name: str) -> Tile | SlicedTile:
    """Return a preset by name; an unknown one is a UserError that names the nearest."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"preset {name!r} is unknown: there are {', '.join(PRESETS)}{hint}")
    return PRESETS[name]


def preset(name: str) -> Tile:
    """Return a preset whose columns have converters; UserError for another."""
    tile = any_preset(name)
    if isinstance(tile, SlicedTile):
        counting = ", ".join(other.name for other in PRESETS.values() if isinstance(other, Tile))
        raise UserError(
            f"preset {name!r} has comparators, for networks trained for it: nmpu train and nmpu evaluate take it; "
            f"here stands {counting}"
        )
    return tile


def sliced_preset(name: str) -> SlicedTile:
    """Return a preset of bit slices and comparators; UserError for another."""
    tile = any_preset(name)
    if isinstance(tile, Tile):
        sliced = ", ".join(other.name for other in PRESETS.values() if isinstance(other, SlicedTile))
        raise UserError(f"preset {name!r} has converters and takes any float network; there are {sliced}")
    return tile
