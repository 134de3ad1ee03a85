"""Presets: values of the one chain, one file each."""

from __future__ import annotations

import difflib

from golden_model.errors import UserError
from sim.presets.hermes import HERMES
from sim.tile import Tile

__all__ = ["HERMES", "PRESETS", "preset"]

PRESETS: dict[str, Tile] = {HERMES.name: HERMES}
"""The presets by name."""


def preset(name: str) -> Tile:
    """Return a preset by name; an unknown one is a UserError that names the nearest."""
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"preset {name!r} is unknown: there are {', '.join(PRESETS)}{hint}")
    return PRESETS[name]
