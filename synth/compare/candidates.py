"""What is compared: NMPUs that do what the FP16 unit does, and that unit at several pipeline depths."""

from __future__ import annotations

from dataclasses import dataclass

from golden_model.errors import UserError
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import NmpuConfig

COLUMNS = 256
"""Columns of a vector: those of one crossbar."""
UNITS = (1, 4, 16, 64)
"""Lanes of the sweep; a lane serves COLUMNS / lanes columns in time."""
HEADLINE = 64
"""Lanes of the headline, as in the paper: 64 units of 4 columns."""
DEPTHS = (3, 4, 6)
"""Cycles of a multiply-add of the FP16 unit, `Fp16Config.multiply_add_cycles`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One unit that is compared."""

    label: str
    """Name in the tables."""
    unit: str
    """Its name in the registry."""
    config: NmpuConfig | Fp16Config
    """Its configuration."""

    @property
    def lanes(self) -> int:
        """Return the data points that it takes a cycle."""
        return self.config.units


def nmpu(units: int) -> Candidate:
    """Return the NMPU of some lanes: two counts, partial sum, residual, both ReLU positions, products as rows.

    Raises UserError where the lanes do not divide the vector.
    """
    if units < 1 or COLUMNS % units:
        raise UserError(f"{units} units: they must divide the {COLUMNS} columns of a vector, as 1, 4, 16, 64 or 256 do")
    config = NmpuConfig(units=units, columns=COLUMNS // units, carry_save=True)
    return Candidate(label=f"NMPU {units} x {COLUMNS // units}", unit="nmpu", config=config)


def fp16(cycles: int) -> Candidate:
    """Return the FP16 unit of one pipeline depth: one lane, all columns in time."""
    config = Fp16Config(multiply_add_cycles=cycles, columns=COLUMNS)
    return Candidate(label=f"FP16, {cycles} cycles a multiply-add", unit="fp16_unit", config=config)
