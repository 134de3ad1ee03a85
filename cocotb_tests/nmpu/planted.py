"""The faults with a name that the NMPU gets at its ports."""

from __future__ import annotations

from cocotb_tests.contract import Planted
from cocotb_tests.nmpu.ports import ports
from cocotb_tests.planted import frame_faults, layer, parameters
from golden_model.nmpu_config import NmpuConfig


def planted(config: NmpuConfig) -> list[Planted]:
    """Return the faults of a unit with every stage, two lanes of two columns."""
    own = ports(config)
    columns, registers = parameters(own), layer(own)
    return [
        *frame_faults(own),
        columns.changed("offset with the wrong sign", "offset", "-"),
        columns.changed("batch-norm offset with the wrong sign", "bn_offset", "-"),
        columns.changed("negate ignored", "negate", "0"),
        columns.changed("batch-norm sign ignored", "bn_negate", "0"),
        columns.changed("column shift ignored", "shift", "0"),
        columns.changed("batch-norm shift off by one", "bn_shift", "^"),
        columns.changed("residual shift off by one", "residual_shift", "^"),
        columns.swapped("scales exchanged", "scale_p", "scale_n"),
        registers.changed("layer shift off by one", "shift", "^"),
        registers.swapped("ReLUs exchanged", "relu_before", "relu_after"),
        registers.changed("always receives", "receive", "1"),
        registers.changed("always the last tile", "last", "1"),
        registers.changed("always adds the residual", "add_residual", "1"),
    ]
