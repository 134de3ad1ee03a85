"""The bits of the array's ports, from the configuration alone.

A row of the store has a field a word, `w0` and up: w of row j * scale_bits + r is column r * words + w of stream j.
"""

from __future__ import annotations

from cocotb_tests.ports import Collected, Field, Ports, Struct
from golden_model.scale_array.config import ScaleArrayConfig

COUNTERS = ("operations", "reads", "computes", "stores")
"""The activity counters, lowest first."""


def ports(config: ScaleArrayConfig) -> Ports:
    """Return the port fields of a configuration."""
    of_row = (1 << config.words) - 1
    return Ports(
        units=config.columns,
        columns=config.streams,
        input=Struct((Field("p", 2),)),
        output=Struct((Field("sum", config.sum_bits, True),)),
        parameters=Struct(tuple(Field(f"w{word}", config.scale_bits) for word in range(config.words))),
        layer=Struct((Field("binary", 1),)),
        collected=Collected(
            interval=config.sum_bits,
            units=config.columns // config.sum_bits,
            words=config.sum_bits,
            owners=tuple(of_row << (row % config.scale_bits * config.words) for row in range(config.scale_rows)),
            totals=Struct(tuple(Field(name, config.counter_bits) for name in COUNTERS)),
        ),
    )
