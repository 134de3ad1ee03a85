"""The parameter store: one small memory a field, one word of all lanes a row."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from hdl.fixed import shape


class Store(wiring.Component):
    """Run-time parameters of all columns; a masked write updates only the fields whose mask bit is 1.

    Parameters: the fields (name -> Amaranth shape, in the order of the mask bits), `units` lanes, `columns` a lane.

    Members: en, column, mask, data (in: the unit's write port), enable (in: reads move on), and for every field
    `<field>_word` (in: the word to read) and `<field>` (out: that word of all lanes, lane 0 lowest). A read takes one
    cycle (latency 1) and sees what was written before that cycle; a word a cycle, no back pressure of its own. Never
    reset; zero when the simulation or the device starts.

    With `host`, also host_read (in: read `column` in this cycle, in the place of the words; `enable` must be 1) and
    host_data (out: in the cycle behind, all fields of that column, else 0). It costs the store no second read port.
    """

    latency = 1

    def __init__(self, fields: dict[str, Any], units: int, columns: int, *, host: bool = False) -> None:
        self.fields, self.units, self.columns, self.host = fields, units, columns, host
        count = units * columns
        members: dict[str, Any] = {
            "en": In(1),
            "column": In(max(1, (count - 1).bit_length())),
            "mask": In(len(self.fields)),
            "data": In(sum(field.width for field in self.fields.values())),
            "enable": In(1),
        }
        for name, field in self.fields.items():
            members[f"{name}_word"] = In(shape(Range(0, columns - 1)))
            members[name] = Out(field.width * units)
        if host:
            members |= {"host_read": In(1), "host_data": Out(members["data"].shape)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        units, columns = self.units, self.columns
        word, lane = self._decode(m)
        exists = self.column < units * columns
        low = 0
        for index, (name, field) in enumerate(self.fields.items()):
            enable = Signal(units, name=f"{name}_write")
            m.d.comb += enable.eq(Mux(self.en & exists & self.mask[index], lane, 0))
            value = self.data[low : low + field.width]
            row = self._registers if columns == 1 else self._memory
            m.d.comb += getattr(self, name).eq(row(m, name, field.width, word, enable, value))
            low += field.width
        if self.host:
            self._read_back(m, lane)
        return m

    def _read_back(self, m: Module, lane: Any) -> None:
        """Choose one lane of what was read for the host; quiet while words stream."""
        chosen = Signal(self.units, name="host_lane", reset_less=True)
        m.d.sync += chosen.eq(Mux(self.host_read, lane, 0))
        parts = []
        for name, field in self.fields.items():
            row, width, either = getattr(self, name), field.width, Const(0, field.width)
            for u in range(self.units):
                either = either | (row[u * width : (u + 1) * width] & chosen[u].replicate(width))
            parts.append(either)
        m.d.comb += self.host_data.eq(Cat(parts))

    def _decode(self, m: Module) -> tuple[Any, Any]:
        """Return word and lane (one bit a lane) of the column to write: column = word * units + lane.

        Where `units` is no power of two, a division by a constant, one comparison and subtraction a bit of the word.
        """
        units, bits = self.units, (self.columns - 1).bit_length()
        word, lane, rest = Signal(bits), Signal(units), self.column
        quotient: list[Any] = []
        if units & (units - 1):
            for bit in reversed(range(bits)):
                fits, left = Signal(name=f"fits_{bit}"), Signal.like(self.column, name=f"rest_{bit}")
                m.d.comb += [fits.eq(rest >= units << bit), left.eq(Mux(fits, rest - (units << bit), rest))]
                quotient.insert(0, fits)
                rest = left
            m.d.comb += word.eq(Cat(quotient))
        else:
            m.d.comb += word.eq(self.column[units.bit_length() - 1 :])
        m.d.comb += lane.eq(1 << rest[: (units - 1).bit_length()])
        return word, lane

    def _memory(self, m: Module, name: str, width: int, word: Any, enable: Any, value: Any) -> Any:
        """Return what was read of one field: a row a word, all lanes side by side."""
        units = self.units
        rows = memory.Memory(shape=data.ArrayLayout(unsigned(width), units), depth=self.columns, init=[])
        m.submodules[f"{name}_rows"] = rows
        write, read = rows.write_port(granularity=1), rows.read_port()
        m.d.comb += [
            write.addr.eq(word),
            write.en.eq(enable),
            write.data.as_value().eq(value.replicate(units)),
            read.addr.eq(self._word(name, word)),
            read.en.eq(self.enable),
        ]
        return read.data.as_value()

    def _word(self, name: str, word: Any) -> Any:
        """Return the word of a field to read: the pipeline's, or the host's."""
        own = getattr(self, f"{name}_word")
        return Mux(self.host_read, word, own) if self.host else own

    def _registers(self, m: Module, name: str, width: int, word: Any, enable: Any, value: Any) -> Any:
        """Return what was read of one field where a lane has one column: a register and its copy in the pipeline."""
        units = self.units
        kept, read = (Signal(width * units, name=f"{name}_{part}", reset_less=True) for part in ("kept", "read"))
        lanes = [Mux(enable[u], value, kept[u * width : (u + 1) * width]) for u in range(units)]
        m.d.sync += kept.eq(Cat(lanes))
        with m.If(self.enable):
            m.d.sync += read.eq(kept)
        return read
