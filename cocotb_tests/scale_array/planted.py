"""The faults with a name that the array gets at its ports."""

from __future__ import annotations

from cocotb_tests.contract import Planted
from cocotb_tests.planted import frame_faults, layer, parameters
from cocotb_tests.scale_array.ports import COUNTERS, ports
from golden_model.scale_array.config import ScaleArrayConfig


def planted(config: ScaleArrayConfig) -> list[Planted]:
    """Return the faults of an array with two lanes."""
    own = ports(config)
    rows, mode = parameters(own), layer(own)
    codes, sums = own.units, config.sum_bits
    turned = ", ".join(f"i__payload[{2 * c}], i__payload[{2 * c + 1}]" for c in reversed(range(codes)))
    pairs = ", ".join(f"i__payload[{2 * (c ^ 1) + 1}:{2 * (c ^ 1)}]" for c in reversed(range(codes)))
    bits = config.counter_bits

    def counts(name: str, counter: str, shown: str | None) -> Planted:
        """Return the fault of a counter that shows another, or nothing."""
        sources = [shown if each == counter else each for each in COUNTERS]
        places = [None if source is None else COUNTERS.index(source) * bits for source in sources]
        parts = [f"{bits}'d0" if at is None else f"activity_s[{at + bits - 1}:{at}]" for at in reversed(places)]
        return Planted(name=name, outputs=(("activity", f"{{{', '.join(parts)}}}"),))

    return [
        *frame_faults(own),
        rows.changed("word 0 off by its lowest bit", "w0", "^"),
        rows.changed("word 1 loses its value", "w1", "0"),
        rows.swapped("words exchanged", "w2", "w3"),
        mode.changed("never in binary mode", "binary", "0"),
        mode.changed("always in binary mode", "binary", "1"),
        Planted(name="code bits exchanged", inputs=(("i__payload", f"{{{turned}}}"),)),
        Planted(name="neighbouring columns exchanged", inputs=(("i__payload", f"{{{pairs}}}"),)),
        Planted(
            name="sums of a row exchanged",
            outputs=(("o__payload", f"{{o__payload_s[{sums - 1}:0], o__payload_s[{2 * sums - 1}:{sums}]}}"),),
        ),
        Planted(name="the first sum's sign is lost", outputs=(("o__payload", f"o__payload_s & ~{1 << (sums - 1)}"),)),
        counts("computes are counted as reads", "reads", "computes"),
        counts("computes are counted as stores", "stores", "computes"),
        counts("reads are counted as operations", "operations", "reads"),
        counts("a counter is stuck", "computes", None),
    ]
