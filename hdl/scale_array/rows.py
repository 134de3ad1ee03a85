"""The array itself: rows of scales above rows of sums on shared columns, and the latches behind the bit lines."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory

from golden_model.scale_array.config import ScaleArrayConfig
from hdl.scale_array.words import Words


class Rows:
    """Builds both memories into a module, each row in groups of `scale_bits` columns.

    Raising a row of scales and a row of sums together gives AND and NOR of their bits. `both`, `neither` and `scale`
    are the latches for these and for the scale bit, one signal a group of columns.
    """

    def __init__(self, m: Module, config: ScaleArrayConfig) -> None:
        self.m, self.config = m, config
        row = data.ArrayLayout(unsigned(config.scale_bits), config.words)
        m.submodules.scale_rows = self._scales = memory.Memory(shape=row, depth=config.scale_rows, init=[])
        m.submodules.sum_rows = self._sums = memory.Memory(shape=row, depth=config.sum_bits, init=[])
        self.both, self.neither, self.scale = (
            [Signal(config.scale_bits, name=f"bit_line_{name}_{g}", reset_less=True) for g in range(config.words)]
            for name in ("and", "nor", "scale")
        )

    def load(self, write: Any) -> None:
        """Place the port through which scales are written; a row that is not there takes nothing."""
        port = self._scales.write_port(granularity=1)
        self.m.d.comb += [
            port.addr.eq(write.row),
            port.data.as_value().eq(write.data.as_value()),
            port.en.eq(Mux(write.en & (write.row < self.config.scale_rows), write.mask, 0)),
        ]

    def store(self, row: Any, groups: Any, value: Any) -> None:
        """Place the port through which sums are stored."""
        port = self._sums.write_port(granularity=1)
        self.m.d.comb += [port.addr.eq(row), port.en.eq(groups), port.data.as_value().eq(value)]

    def read(self, words: Words, now: Any, enable: Any, *, reads: Any, works: Any, subtract: Any, stored: Any) -> None:
        """Place the latches. Lanes: which words are read, which are computed, which subtract, which were ever stored.

        A column whose word is not read keeps its latches. Above a sum's lowest `scale_bits`, and where p = 0, the bit
        line of the scales is cut off: B is 0. A sum that was never stored reads as 0. The scale bit is latched for
        subtraction alone.
        """
        m, config, number = self.m, self.config, now.number
        scale_port, sum_port = self._scales.read_port(domain="comb"), self._sums.read_port(domain="comb")
        m.d.comb += [scale_port.addr.eq(now.scale_row), sum_port.addr.eq(now.sum_row)]
        scales, sums = scale_port.data.as_value(), sum_port.data.as_value()
        read = words.groups("group_reads", reads, number)
        connected = words.groups("group_works", works, number, lowest=True)
        borrows = words.groups("group_subtract", subtract, number, lowest=True)
        held = words.groups("group_stored", stored, number)
        for g in range(config.words):
            own = slice(g * config.scale_bits, (g + 1) * config.scale_bits)
            width = config.scale_bits
            a, b = sums[own] & held[g].replicate(width), scales[own] & connected[g].replicate(width)
            with m.If(enable & read[g]):
                m.d.sync += [self.both[g].eq(a & b), self.neither[g].eq(~(a | b))]
                m.d.sync += self.scale[g].eq(b & borrows[g].replicate(width))
