"""The near-memory processing unit: streams, parameter store, layer registers, flags."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import shape
from hdl.nmpu.accumulate import Accumulate, Choose, Compress
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import AddResidual, BatchNormAdd, BatchNormMultiply, Relu, Requantise, ResidualMultiply
from hdl.nmpu.pipeline import Lanes, Pipeline, split
from hdl.nmpu.ports import input_fields, layer_fields, members, parameter_fields
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
        advance = Signal()
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        valids, words = self._control(m, advance)
        layer = self._layer(m)
        fields = self._store(m, advance, words)
        saturated = self._datapath(m, advance, fields, layer)
        self._flags(m, saturated, advance & valids[-2], words[-1])
        return m

    def _control(self, m: Module, advance: Any) -> tuple[list[Any], list[Any]]:
        """Return the valid bits and the word numbers in front of every step; the last valid is the output's."""
        steps, columns = self.schedule.latency, self.config.columns
        valids = [self.i.valid] + [Signal(name=f"valid_{n}") for n in range(1, steps)] + [self.o.valid]
        words = [Signal(shape(Range(0, columns - 1)), name=f"word_{n}") for n in range(steps)]
        with m.If(advance):
            m.d.sync += [behind.eq(ahead) for ahead, behind in zip(valids[:-1], valids[1:], strict=True)]
            m.d.sync += [behind.eq(ahead) for ahead, behind in zip(words[:-1], words[1:], strict=True)]
            with m.If(self.i.valid):
                m.d.sync += words[0].eq(Mux(words[0] == columns - 1, 0, words[0] + 1))
        m.d.comb += self.idle.eq(~Cat(valids[1:]).any() & (words[0] == 0))
        return valids, words

    def _layer(self, m: Module) -> dict[str, Any]:
        fields = layer_fields(self.config)
        registers = {name: Signal(field, name=f"layer_{name}", reset_less=True) for name, field in fields.items()}
        with m.If(self.layer.en):
            m.d.sync += [kept.eq(getattr(self.layer.data, name)) for name, kept in registers.items()]
        return registers

    def _store(self, m: Module, advance: Any, words: list[Any]) -> dict[str, Lanes]:
        m.submodules.store = store = Store(self.config)
        m.d.comb += [
            store.en.eq(self.write.en),
            store.column.eq(self.write.column),
            store.mask.eq(self.write.mask),
            store.data.eq(self.write.data.as_value()),
            store.enable.eq(advance),
        ]
        fields = parameter_fields(self.config)
        m.d.comb += [getattr(store, f"{n}_word").eq(words[self.schedule.reader(n) - 1]) for n in fields]
        return {name: split(getattr(store, name), field, self.config.units) for name, field in fields.items()}

    def _entry(self, m: Module, advance: Any) -> dict[str, Lanes]:
        """Return the input register: the payload as it came, one list of lanes a field."""
        payload = self.i.payload.as_value()
        entry = Signal(payload.shape(), reset_less=True)
        with m.If(advance):
            m.d.sync += entry.eq(payload)
        fields, lanes, low = input_fields(self.config), {}, 0
        stride = sum(field.width for field in fields.values())
        for name, field in fields.items():
            ends = [u * stride + low for u in range(self.config.units)]
            parts = [entry[end : end + field.width] for end in ends]
            lanes[name] = [part.as_signed() for part in parts] if field.signed else parts
            low += field.width
        return lanes

    def _datapath(self, m: Module, advance: Any, fields: dict[str, Lanes], layer: dict[str, Any]) -> Lanes:
        """Place every stage for every lane and the registers behind them; return the saturation of each lane."""
        config, path = self.config, Datapath(self.config)
        line = Pipeline(m, advance, config.units)
        keep, place = line.register, line.place
        last = layer.get("last", Const(1, 1))
        entry = self._entry(m, advance)

        now = {name: keep(name, lanes) for name, lanes in place(Multiply(config), **entry, **fields).items()}
        if config.partial_sum:
            now["received"] = keep("received", entry["received"], only_if=layer["receive"])
        now |= place(Affine(config), **now, **fields, layer_shift=layer.get("shift"))
        if path.sums:
            now |= place(Compress(config), **now)
            now |= place(Accumulate(config), **now)
            if config.partial_sum:
                several = layer["receive"] | ~last if not config.batch_norm else None
                flags = keep("sum_saturated", now["saturated"], only_if=several)
            if config.batch_norm:
                now["sum"] = keep("sum", now["sum"])
            else:
                now["total"] = keep("total", place(Choose(config), **now, rounded=several)["chosen"])
        if config.batch_norm:
            products = place(BatchNormMultiply(config), **now, **fields)
            now["product"] = keep("product", products["product"])
            if config.partial_sum:
                flags, now["sum"] = keep("bn_saturated", flags), keep("bn_sum", now["sum"])
            now |= place(BatchNormAdd(config), **now, **fields, last=last)
        if config.residual:
            residual = entry["residual"]
            for step in range(2, self.schedule.step(AddResidual)):
                residual = keep(f"residual_{step}", residual)
            product = place(ResidualMultiply(config), residual=residual, **fields)["residual_product"]
            product = keep("residual_product", product, only_if=layer["add_residual"] & last)
            if config.relu:
                now["total"] = place(Relu(config), total=now["total"], relu=layer["relu_before"] & last)["positive"]
            added = place(AddResidual(config), total=now["total"], residual_product=product, **fields)
            now["total"] = keep("final", added["final"])
            flags = keep("final_saturated", flags) if config.partial_sum else None
        relu = layer["relu_after"] & last if config.relu else None
        results = place(Requantise(config), final=now["total"], relu=relu)
        lanes = []
        for u in range(config.units):
            if config.partial_sum:
                low, width = path.final_fraction - config.sum_fraction, config.sum_range.signed_bits
                code, total = results["code"][u], now["total"][u][low : low + width]
                lanes += [Mux(last, code, 0), Mux(last, 0, total)]
                results["saturated"][u] = flags[u] | (results["saturated"][u] & last)
            else:
                lanes.append(results["code"][u])
        payload = Signal.like(self.o.payload.as_value(), name="result", reset_less=True)
        with m.If(advance):
            m.d.sync += payload.eq(Cat(lanes))
        m.d.comb += self.o.payload.as_value().eq(payload)
        return results["saturated"]

    def _flags(self, m: Module, saturated: Lanes, arrives: Any, word: Any) -> None:
        """Set the sticky flags of the word that enters the output register; a write clears."""
        units = self.config.units
        arrived, cleared = Signal.like(self.flags), Signal.like(self.flags)
        with m.If(arrives):
            with m.Switch(word):
                for t in range(self.config.columns):
                    with m.Case(t):
                        m.d.comb += arrived[t * units : (t + 1) * units].eq(Cat(saturated))
        with m.If(self.write.en):
            m.d.comb += cleared.eq(1 << self.write.column)
        with m.If(self.layer.en):
            m.d.comb += cleared.eq(~0)
        m.d.sync += self.flags.eq((self.flags | arrived) & ~cleared)
