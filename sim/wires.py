"""Wires between the cells of an array and its converters."""

from __future__ import annotations

from dataclasses import dataclass

from sim.devices import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealWires:
    """Wires without resistance or capacitance: every cell sees its full read voltage."""

    def conductances(self, cells: Floats) -> Floats:
        """Return what the converters see of an array of cells, (columns, rows...), uS."""
        return cells
