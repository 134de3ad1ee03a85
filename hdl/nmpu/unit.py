"""The near-memory processing unit: streams, parameter store, layer registers, flags."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.stream import Interface

from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import shape
from hdl.nmpu.lane import Lane
from hdl.nmpu.ports import input_fields, layer_fields, members, output_fields, parameter_fields
from hdl.nmpu.schedule import Schedule
from hdl.nmpu.store import Store


class Nmpu(wiring.Component):
    """The unit."""

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
        config, schedule = self.config, self.schedule
        units, columns, steps = config.units, config.columns, schedule.latency
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]

        # control: valid and word number of what stands in front of each step
        word_shape = shape(Range(0, columns - 1))
        valids = [self.i.valid] + [Signal(name=f"valid_{n}") for n in range(1, steps)] + [self.o.valid]
        words = [Signal(word_shape, name=f"word_{n}") for n in range(steps)]
        with m.If(advance):
            m.d.sync += [behind.eq(ahead) for ahead, behind in zip(valids, valids[1:], strict=False)]
            m.d.sync += [behind.eq(ahead) for ahead, behind in zip(words, words[1:], strict=False)]
            with m.If(self.i.valid):
                m.d.sync += words[0].eq(Mux(words[0] == columns - 1, 0, words[0] + 1))
        m.d.comb += self.idle.eq(~Cat(valids[1:]).any() & (words[0] == 0))

        # layer registers
        fields = layer_fields(config)
        layer = {name: Signal(field, name=f"layer_{name}", reset_less=True) for name, field in fields.items()}
        with m.If(self.layer.en):
            m.d.sync += [register.eq(getattr(self.layer.data, name)) for name, register in layer.items()]

        # store
        m.submodules.store = store = Store(config)
        m.d.comb += [
            store.en.eq(self.write.en),
            store.column.eq(self.write.column),
            store.mask.eq(self.write.mask),
            store.data.eq(self.write.data.as_value()),
            store.enable.eq(advance),
        ]
        parameters = parameter_fields(config)
        for name in parameters:
            m.d.comb += getattr(store, f"{name}_word").eq(words[schedule.field_step(name) - 1])

        # lanes
        entry = Signal(self.i.payload.as_value().shape(), reset_less=True)
        with m.If(advance):
            m.d.sync += entry.eq(self.i.payload.as_value())
        results, saturated = [], []
        low = 0
        for u in range(units):
            m.submodules[f"lane{u}"] = lane = Lane(config)
            m.d.comb += lane.advance.eq(advance)
            for name, field in input_fields(config).items():
                m.d.comb += getattr(lane, name).eq(entry[low : low + field.width])
                low += field.width
            for name, field in parameters.items():
                m.d.comb += getattr(lane, name).eq(getattr(store, name)[u * field.width : (u + 1) * field.width])
            for name, register in layer.items():
                m.d.comb += getattr(lane, f"layer_{name}").eq(register)
            results += [getattr(lane, name) for name in output_fields(config)]
            saturated.append(lane.saturated)
        with m.If(advance):
            m.d.sync += self.o.payload.as_value().eq(Cat(results))

        # flags
        row = Signal(units)
        m.d.comb += row.eq(Cat(saturated) & (advance & valids[-2]).replicate(units))
        arriving, cleared = Signal.like(self.flags), Signal.like(self.flags)
        with m.Switch(words[-1]):
            for t in range(columns):
                with m.Case(t):
                    m.d.comb += arriving[t * units : (t + 1) * units].eq(row)
        with m.If(self.write.en):
            m.d.comb += cleared.eq(1 << self.write.column)
        m.d.sync += self.flags.eq(Mux(self.layer.en, 0, (self.flags | arriving) & ~cleared))
        return m
