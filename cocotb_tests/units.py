"""The units that the benches know, by name."""

from __future__ import annotations

from difflib import get_close_matches

import cocotb_tests.fp16_unit
import cocotb_tests.nmpu
import cocotb_tests.scale_array
from cocotb_tests.contract import Contract
from golden_model.errors import UserError

CONTRACTS: dict[str, Contract] = {
    each.unit: each
    for each in (cocotb_tests.nmpu.CONTRACT, cocotb_tests.fp16_unit.CONTRACT, cocotb_tests.scale_array.CONTRACT)
}


def contract(unit: str) -> Contract:
    """Return the contract of a unit; refuses (UserError) a name that has none, with the nearest that has."""
    if unit not in CONTRACTS:
        near = get_close_matches(unit, CONTRACTS, n=1, cutoff=0.5)
        meant = f", did you mean {near[0]}?" if near else ""
        raise UserError(f"unit {unit!r}: the regression knows {', '.join(CONTRACTS)}{meant}")
    return CONTRACTS[unit]
