"""The parameter store: one small memory a field, one word of all lanes a row."""

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import shape
from hdl.nmpu.ports import parameter_fields


class Store(wiring.Component):
    """Run-time parameters of all columns; a masked write updates only the fields whose mask bit is 1.

    Members: write (the unit's write port), enable (in: reads move on), and for every field `<field>_word` (in: the
    word to read) and `<field>` (out: that word of all lanes, lane 0 lowest). A read takes one cycle (latency 1) and sees
    what was written before that cycle. Never reset; zero when the simulation or the device starts.
    """

    latency = 1

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.fields = parameter_fields(config)
        count = config.units * config.columns
        members: dict[str, Any] = {
            "en": In(1),
            "column": In(max(1, (count - 1).bit_length())),
            "mask": In(len(self.fields)),
            "data": In(sum(field.width for field in self.fields.values())),
            "enable": In(1),
        }
        for name, field in self.fields.items():
            members[f"{name}_word"] = In(shape(Range(0, config.columns - 1)))
            members[name] = Out(field.width * config.units)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        units, columns = self.config.units, self.config.columns
        word = Signal(shape(Range(0, columns - 1)))
        lane = Signal(units)
        if units & (units - 1):
            with m.Switch(self.column):
                for column in range(units * columns):
                    with m.Case(column):
                        m.d.comb += [word.eq(column // units), lane.eq(1 << (column % units))]
        else:
            bits = units.bit_length() - 1
            m.d.comb += [word.eq(self.column[bits:]), lane.eq(1 << self.column[:bits])]
        low = 0
        for index, (name, field) in enumerate(self.fields.items()):
            rows = memory.Memory(shape=data.ArrayLayout(unsigned(field.width), units), depth=columns, init=[])
            m.submodules[name] = rows
            write, read = rows.write_port(granularity=1), rows.read_port()
            m.d.comb += [
                write.addr.eq(word),
                write.en.eq(lane & (self.en & self.mask[index]).replicate(units)),
                write.data.as_value().eq(self.data[low : low + field.width].replicate(units)),
                read.addr.eq(getattr(self, f"{name}_word")),
                read.en.eq(self.enable),
                getattr(self, name).eq(read.data.as_value()),
            ]
            low += field.width
        return m
