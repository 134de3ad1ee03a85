"""The near-memory processing unit: streams, parameter store, layer registers, flags."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import shape
from hdl.nmpu.accumulate import Accumulate, Compress
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
        fields = self._store(m, advance, words, layer)
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

    def _store(self, m: Module, advance: Any, words: list[Any], layer: dict[str, Any]) -> dict[str, Lanes]:
        m.submodules.store = store = Store(self.config)
        m.d.comb += [
            store.en.eq(self.write.en),
            store.column.eq(self.write.column),
            store.mask.eq(self.write.mask),
            store.data.eq(self.write.data.as_value()),
            store.enable.eq(advance),
        ]
        lanes = {}
        for name, field in parameter_fields(self.config).items():
            m.d.comb += getattr(store, f"{name}_word").eq(words[self.schedule.reader(name) - 1])
            row = getattr(store, name)
            if name.startswith("bn_") and self.config.partial_sum:
                # a sum that is not the last passes batch norm as sum * 1
                one = Cat(Const(1, field.width) for _ in range(self.config.units)) if name == "bn_scale" else 0
                row = Signal.like(row, name=name)
                m.d.comb += row.eq(Mux(layer["last"], getattr(store, name), one))
            lanes[name] = split(row, field, self.config.units)
        return lanes

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
            rounded = layer["receive"] | ~last if path.chooses else None
            now |= place(Compress(config), **now, rounded=rounded)
            now |= place(Accumulate(config), **now, rounded=rounded)
            flags = keep("sum_saturated", now["saturated"]) if config.partial_sum else None
            if path.chooses:
                rests = now.get("rest", [Const(0, 0)] * config.units)
                pairs = zip(rests, now["sum"], strict=True)
                now["total"] = keep("total", [Cat(rest, total).as_signed() for rest, total in pairs])
            else:
                now["sum"] = keep("sum", now["sum"])
        if config.batch_norm:
            now["product"] = keep("product", place(BatchNormMultiply(config), **now, **fields)["product"])
            flags = keep("bn_saturated", flags) if config.partial_sum else None
            now |= place(BatchNormAdd(config), **now, **fields)
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
                low = path.sum_position + path.final_fraction - path.total_fraction
                width = config.sum_range.signed_bits
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
        row = Signal(units)
        m.d.comb += [row.eq(Cat(saturated)), arrived.eq(Mux(arrives, row, 0) << (word * units))]
        with m.If(self.write.en):
            m.d.comb += cleared.eq(1 << self.write.column)
        with m.If(self.layer.en):
            m.d.comb += cleared.eq(~0)
        m.d.sync += self.flags.eq((self.flags | arrived) & ~cleared)
