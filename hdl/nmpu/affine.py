"""Affine correction: T = cut(cnt_p * s_p) - cut(cnt_n * s_n) + offset, in two combinational steps."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from hdl.fixed import Number, shape
from hdl.nmpu.datapath import Datapath


class Multiply(wiring.Component):
    """The products: added = cut(first * scale_p), taken = cut(second * scale_n); the counts swapped where `negate`.

    A signed code has one product, (negate ? -code : code) * scale_p. The `cut_pre` lowest bits are left out of the ports.

    Members: first, second, scale_p, scale_n, negate (in), added, taken (out). Combinational; the unit registers the
    products: latency 1 cycle, a word each cycle.
    """

    latency = 1

    first: Signal
    second: Signal
    scale_p: Signal
    scale_n: Signal
    negate: Signal
    added: Signal
    taken: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        counts = config.input is Input.COUNTS
        entry, scale, product = (shape(r) for r in (config.input_range, config.scale.range, Datapath(config).product))
        members = {"first": In(entry), "scale_p": In(scale), "negate": In(1), "added": Out(product)}
        if counts:
            members |= {"second": In(entry), "scale_n": In(scale), "taken": Out(product)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        cut = self.config.cut_pre
        if self.config.input is Input.COUNTS:
            m.d.comb += [
                self.added.eq((Mux(self.negate, self.second, self.first) * self.scale_p)[cut:]),
                self.taken.eq((Mux(self.negate, self.first, self.second) * self.scale_n)[cut:]),
            ]
        else:
            code = Signal(signed(self.config.input_bits + 1))
            m.d.comb += [
                code.eq(Mux(self.negate, -self.first, self.first)),
                self.added.eq((code * self.scale_p)[cut:].as_signed()),
            ]
        return m


class Affine(wiring.Component):
    """T = (added - taken) / 2**(scale fraction + k) + offset, exact, k = layer_shift + shift.

    Members: added, taken, offset, shift, layer_shift (in, those that exist), total (out, with F + max_shift fraction
    bits). Combinational, latency 0: it shares the cycle of the stage behind it. Valid for k up to `max_shift`.
    """

    latency = 0

    added: Signal
    taken: Signal
    offset: Signal
    shift: Signal
    layer_shift: Signal
    total: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.path = Datapath(config)
        product = shape(self.path.product)
        members = {"added": In(product), "offset": In(shape(config.offset.range)), "total": Out(shape(self.path.affine))}
        if config.input is Input.COUNTS:
            members["taken"] = In(product)
        if config.max_column_shift:
            members["shift"] = In(shape(Columns.ranges(config)["shift"]))
        if config.max_layer_shift:
            members["layer_shift"] = In(shape(Range(0, config.max_layer_shift)))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config, path = self.config, self.path
        product = Number(self.added, path.product)
        if config.input is Input.COUNTS:
            product = (product - Number(self.taken, path.product)).named(m, "difference")
        product = product << (config.affine_fraction - config.scale.fraction + config.cut_pre)
        if config.max_shift:
            distance = Signal(shape(Range(0, config.max_shift)))
            shifts = [self.shift] if config.max_column_shift else []
            shifts += [self.layer_shift] if config.max_layer_shift else []
            m.d.comb += distance.eq(config.max_shift - sum(shifts[1:], shifts[0]))
            product = product.aligned(distance, config.max_shift).named(m, "aligned")
        offset = Number(self.offset, config.offset.range) << (path.affine_fraction - config.offset.fraction)
        m.d.comb += self.total.eq((product + offset).value)
        return m
