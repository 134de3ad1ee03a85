"""The near-memory processing unit: streams, parameter store, layer registers, flags."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.errors import UserError
from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import shape
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import Requantise
from hdl.nmpu.pipeline import Lanes, Pipeline, split
from hdl.nmpu.ports import input_fields, layer_fields, members, parameter_fields
from hdl.nmpu.schedule import Schedule
from hdl.nmpu.store import Store

MAX_UNITS = 4096
MAX_COLUMNS = 65536
"""What still elaborates in minutes, and what nobody builds as one block."""


class Nmpu(wiring.Component):
    """The unit: `units` lanes side by side, `columns` columns a lane in time; bit for bit `golden_model.nmpu.nmpu`.

    Parameters: the configuration, the golden model's own object.

    Members:

    * `i`, `o`: streams, one word a transfer; `i` takes counts or codes, `o` gives codes or partial sums.
    * `write`: parameters, one column a cycle, only the fields whose mask bit is 1.
    * `layer`: the layer registers, all at once.
    * `flags`: one sticky bit a column, set as the word that saturated enters the output register; a parameter write
      clears its column's bit (and wins over a word that arrives), a layer write all of them.
    * `idle`: 1 where no word is under way and the next one is word 0.

    Word t of a vector is the t-th accepted word, modulo `columns`; its lane u is column t * units + u. The latency is
    `latency` cycles, the sum of the stages' (`Schedule`), the throughput one word a cycle. Back pressure is honoured:
    all registers of the datapath hold where the output is valid and not ready, and `i.ready` falls then only. It is a
    combinational path from `o.ready` to `i.ready`.

    Parameters and layer registers may be written in cycles in which `idle` is 1 and no word is accepted: every field is
    read one step before the stage that uses it. Columns that do not exist are ignored; a shift beyond its largest value
    is not defined. `rst` clears valid bits, the word counter and the flags, and neither datapath nor parameters.
    """

    i: Interface
    o: Interface
    write: Any
    layer: Any
    flags: Signal
    idle: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.schedule = Schedule(config)
        super().__init__(members(config))

    @property
    def latency(self) -> int:
        """Return the cycles from an accepted word to its result, without back pressure."""
        return self.schedule.latency

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        line = Pipeline(m, advance, self.config.units)
        valids, words = self._control(m, advance)
        layer = self._layer(m)
        self._store(m, line, words, layer)
        self._entry(m, line, layer)
        saturated = self._datapath(m, line, layer)
        self._flags(m, saturated, advance & valids[-2], words[-1])
        return m

    def _control(self, m: Module, advance: Any) -> tuple[list[Any], list[Any]]:
        """Return the valid bits and the word numbers in front of every step; the last valid is the output's."""
        steps, columns = self.schedule.latency, self.config.columns
        valids = [self.i.valid] + [Signal(name=f"valid_{n}") for n in range(1, steps)] + [self.o.valid]
        of = shape(Range(0, columns - 1))
        words = [Signal(of, name="word")] + [Signal(of, name=f"word_{n}", reset_less=True) for n in range(1, steps)]
        with m.If(advance):
            m.d.sync += [behind.eq(ahead) for ahead, behind in pairwise(valids)]
            m.d.sync += [behind.eq(ahead) for ahead, behind in pairwise(words)]
            with m.If(self.i.valid):
                m.d.sync += words[0].eq(Mux(words[0] == columns - 1, 0, words[0] + 1))
        m.d.comb += self.idle.eq(~Cat(valids[1:]).any() & (words[0] == 0))
        return valids, words

    def _layer(self, m: Module) -> dict[str, Any]:
        """Return the layer registers; a constant stands for one that the unit lacks."""
        fields = layer_fields(self.config)
        registers = {name: Signal(field, name=f"layer_{name}", reset_less=True) for name, field in fields.items()}
        with m.If(self.layer.en):
            m.d.sync += [kept.eq(getattr(self.layer.data, name)) for name, kept in registers.items()]
        return {"last": Const(1, 1), "receive": Const(0, 1)} | registers

    def _store(self, m: Module, line: Pipeline, words: list[Any], layer: dict[str, Any]) -> None:
        """Place the store; every field is read one step before the stage that uses it."""
        m.submodules.store = store = Store(self.config)
        m.d.comb += [
            store.en.eq(self.write.en),
            store.column.eq(self.write.column),
            store.mask.eq(self.write.mask),
            store.data.eq(self.write.data.as_value()),
            store.enable.eq(line.advance),
        ]
        for name, field in parameter_fields(self.config).items():
            step = self.schedule.reader(name)
            m.d.comb += getattr(store, f"{name}_word").eq(words[step - Store.latency])
            row = getattr(store, name)
            if name.startswith("bn_") and self.config.partial_sum:
                # a sum that is not the last passes batch norm as sum * 1
                one = Cat(Const(1, field.width) for _ in range(self.config.units)) if name == "bn_scale" else 0
                gated = Signal.like(row, name=name)
                m.d.comb += gated.eq(Mux(layer["last"], row, one))
                row = gated
            line.put(name, split(row, field, self.config.units), step)

    def _entry(self, m: Module, line: Pipeline, layer: dict[str, Any]) -> None:
        """Place the input register, the payload as it came, and put its fields and the layer's into the pipeline."""
        payload = self.i.payload.as_value()
        entry = Signal(payload.shape(), reset_less=True)
        with m.If(line.advance):
            m.d.sync += entry.eq(payload)
        fields, low = input_fields(self.config), 0
        for name, field in fields.items():
            stride = sum(each.width for each in fields.values())
            lanes = split(entry, field, self.config.units, low, stride)
            if name == "received":
                lanes = [Mux(layer["receive"], lane, 0) for lane in lanes]
            line.put(name, lanes, Store.latency)
            low += field.width

        def enable(name: str, value: Any) -> None:
            wire = Signal(name=name)
            m.d.comb += wire.eq(value)
            line.put(name, wire)

        last = layer["last"]
        if Datapath(self.config).chooses:
            enable("rounded", layer["receive"] | ~last)
        for name, source in (("relu_before", "relu_before"), ("relu_after", "relu_after"), ("add", "add_residual")):
            if source in layer:
                enable(name, layer[source] & last)
        if "shift" in layer:
            line.put("layer_shift", layer["shift"])

    def _datapath(self, m: Module, line: Pipeline, layer: dict[str, Any]) -> Lanes:
        """Place every stage and the output register; return the saturation of each lane of the word that enters it."""
        config, path, last = self.config, Datapath(self.config), layer["last"]
        end = self.schedule.latency - Requantise.latency
        for stage in self.schedule.stages:
            line.place(stage, self.schedule.step(type(stage)), registered=not isinstance(stage, Requantise))
        lanes: Lanes = line.get("code", end)
        saturated: Lanes = line.get("saturated", end)
        if config.partial_sum:
            low = path.sum_position + path.final_fraction - path.total_fraction
            sums = [total[low : low + config.sum_range.signed_bits] for total in line.get("total", end)]
            pairs = zip(lanes, sums, strict=True)
            lanes = [Cat(Mux(last, code, 0), Mux(last, 0, total)) for code, total in pairs]
            flags = zip(saturated, line.get("sum_saturated", end), strict=True)
            saturated = [(code & last) | total for code, total in flags]
        result = Signal(self.o.payload.as_value().shape(), reset_less=True)
        with m.If(line.advance):
            m.d.sync += result.eq(Cat(lanes))
        m.d.comb += self.o.payload.as_value().eq(result)
        return saturated

    def _flags(self, m: Module, saturated: Lanes, arrives: Any, word: Any) -> None:
        """Set the sticky flags of the word that enters the output register; a write clears."""
        units = self.config.units
        arrived, cleared = Signal.like(self.flags, name="arrived"), Signal.like(self.flags, name="cleared")
        row = Signal(units)
        m.d.comb += [row.eq(Cat(saturated)), arrived.eq(Mux(arrives, row << (word * units), 0))]
        with m.If(self.write.en):
            m.d.comb += cleared.eq(1 << self.write.column)
        with m.If(self.layer.en):
            m.d.comb += cleared.eq(~0)
        m.d.sync += self.flags.eq((self.flags | arrived) & ~cleared)


def create(config: NmpuConfig) -> Nmpu:
    """Return the unit of a configuration; refuses (UserError) more lanes or columns than one block can have."""
    if config.units > MAX_UNITS or config.units * config.columns > MAX_COLUMNS:
        raise UserError(
            f"units = {config.units}, columns = {config.columns}: one unit has at most {MAX_UNITS} lanes and "
            f"{MAX_COLUMNS} columns in all; build several side by side"
        )
    return Nmpu(config)
