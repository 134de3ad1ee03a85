"""What every streaming unit stands in: ports, valid bits, word counter, layer registers, parameter store, flags."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from hdl.fixed import shape
from hdl.pipeline import Lanes, Pipeline
from hdl.store import Store

MEANINGS: dict[str, str] = {
    "i": "words to process",
    "o": "processed words",
    "write.en": "write one column's parameters in this cycle",
    "write.column": "the column t * units + u of word t and lane u",
    "write.mask": "which fields of `write__data` to write, one bit a field in their order",
    "write.data": "the parameters, codes in the configuration's formats",
    "layer.en": "write the layer registers in this cycle and clear all flags",
    "idle": "no word is under way and the next one is word 0 of a vector",
    "host.read": "read the parameters of the column `write__column` in this cycle, as a write would be allowed",
    "host.data": "the parameters that were read in the cycle before, else 0",
    "host.layer": "the layer registers",
    "host.clear": "clear these flags, one bit a column; a word that saturates in the same cycle wins",
    "host.first": "the next word is word 0 of a vector",
}
"""What the ports carry that are the same in every unit."""


def members(
    units: int,
    columns: int,
    *,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    parameters: dict[str, Any],
    layer: dict[str, Any],
    host: bool = False,
) -> dict[str, Any]:
    """Return the members of a unit's signature from the fields of its ports, lowest bits first.

    With `host`, ports for a bus stand beside the others: read-back, and flags that are cleared one by one.
    """
    count = units * columns
    write = {
        "en": Out(1),
        "column": Out(max(1, (count - 1).bit_length())),
        "mask": Out(len(parameters)),
        "data": Out(data.StructLayout(parameters)),
    }
    load = {"en": Out(1)} | ({"data": Out(data.StructLayout(layer))} if layer else {})
    ports = {
        "i": In(stream.Signature(data.ArrayLayout(data.StructLayout(inputs), units))),
        "o": Out(stream.Signature(data.ArrayLayout(data.StructLayout(outputs), units))),
        "write": In(wiring.Signature(write)),
        "layer": In(wiring.Signature(load)),
        "flags": Out(count),
        "idle": Out(1),
    }
    if not host:
        return ports
    bus = {"read": Out(1), "data": In(data.StructLayout(parameters)), "clear": Out(count), "first": In(1)}
    return ports | {"host": In(wiring.Signature(bus | ({"layer": In(data.StructLayout(layer))} if layer else {})))}


class Frame:
    """Builds the frame of a unit into its module; the unit places its arithmetic on `line`.

    Parameters: the unit (its ports as `members` gives them), lanes, columns a lane, and `steps`, the cycles from an
    accepted word to the output register.

    * `advance`: all registers of the datapath move on; it falls, and `i.ready` with it, only where the output is valid
      and not ready: a combinational path from `o.ready` to `i.ready`.
    * `valids`, `words`: the valid bits and the word numbers in front of every step; the last valid is the output's.
    * `line`: the pipeline of the lanes.

    Reset clears valid bits, the word counter and the flags, and neither datapath nor parameters.
    """

    def __init__(self, m: Module, unit: Any, *, units: int, columns: int, steps: int) -> None:
        self.m, self.unit, self.units, self.columns = m, unit, units, columns
        self.host = unit.host if "host" in unit.signature.members else None
        self.advance = Signal(name="advance")
        m.d.comb += [self.advance.eq(~unit.o.valid | unit.o.ready), unit.i.ready.eq(self.advance)]
        self.line = Pipeline(m, self.advance, units)
        of = shape(Range(0, columns - 1))
        self.valids = [unit.i.valid] + [Signal(name=f"valid_{n}") for n in range(1, steps)] + [unit.o.valid]
        self.words = [Signal(of, name="word")]
        self.words += [Signal(of, name=f"word_{n}", reset_less=True) for n in range(1, steps)]
        with m.If(self.advance):
            m.d.sync += [behind.eq(ahead) for ahead, behind in pairwise(self.valids)]
            m.d.sync += [behind.eq(ahead) for ahead, behind in pairwise(self.words)]
            with m.If(unit.i.valid):
                m.d.sync += self.words[0].eq(Mux(self.words[0] == columns - 1, 0, self.words[0] + 1))
        m.d.comb += unit.idle.eq(~Cat(self.valids[1:]).any() & (self.words[0] == 0))
        if self.host is not None:
            m.d.comb += self.host.first.eq(self.words[0] == 0)

    def layer(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the layer registers; they are written all at once."""
        registers = {name: Signal(field, name=f"layer_{name}", reset_less=True) for name, field in fields.items()}
        with self.m.If(self.unit.layer.en):
            self.m.d.sync += [kept.eq(getattr(self.unit.layer.data, name)) for name, kept in registers.items()]
        if self.host is not None and registers:
            self.m.d.comb += self.host.layer.as_value().eq(Cat(registers.values()))
        return registers

    def store(self, fields: dict[str, Any], readers: dict[str, int]) -> dict[str, Any]:
        """Place the parameter store; return the row of every field, read one step before the step that uses it."""
        self.m.submodules.store = store = Store(fields, self.units, self.columns, host=self.host is not None)
        write = self.unit.write
        self.m.d.comb += [
            store.en.eq(write.en),
            store.column.eq(write.column),
            store.mask.eq(write.mask),
            store.data.eq(write.data.as_value()),
            store.enable.eq(self.advance),
        ]
        for name in fields:
            self.m.d.comb += getattr(store, f"{name}_word").eq(self.words[readers[name] - Store.latency])
        if self.host is not None:
            self.m.d.comb += [store.host_read.eq(self.host.read), self.host.data.as_value().eq(store.host_data)]
        return {name: getattr(store, name) for name in fields}

    def entry(self) -> Signal:
        """Place the input register; return the payload as it came."""
        payload = self.unit.i.payload.as_value()
        entry = Signal(payload.shape(), reset_less=True, name="entry")
        with self.m.If(self.advance):
            self.m.d.sync += entry.eq(payload)
        return entry

    def exit(self, lanes: Lanes, saturated: Lanes) -> None:
        """Place the output register and the sticky flags: set by the word that enters the register, cleared by writes.

        A host clears single flags; there the word that arrives wins, so that nothing is lost while others are cleared.
        A parameter write clears its column's flag and wins over a word that arrives; a layer write clears all.
        """
        m, flags, write = self.m, self.unit.flags, self.unit.write
        result = Signal(self.unit.o.payload.as_value().shape(), reset_less=True, name="result")
        with m.If(self.advance):
            m.d.sync += result.eq(Cat(lanes))
        m.d.comb += self.unit.o.payload.as_value().eq(result)
        arrived, cleared = Signal.like(flags, name="arrived"), Signal.like(flags, name="cleared")
        row = Signal(self.units, name="row")
        arrives = self.advance & self.valids[-2]
        m.d.comb += [row.eq(Cat(saturated)), arrived.eq(Mux(arrives, row << (self.words[-1] * self.units), 0))]
        with m.If(write.en):
            m.d.comb += cleared.eq(1 << write.column)
        with m.If(self.unit.layer.en):
            m.d.comb += cleared.eq(~0)
        kept = flags if self.host is None else flags & ~self.host.clear
        m.d.sync += flags.eq((kept | arrived) & ~cleared)
