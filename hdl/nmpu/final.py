"""The stages behind the sum: batch norm, residual, ReLU, requantisation."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, NmpuConfig
from hdl.fixed import Number, round_shift, saturate, shape
from hdl.nmpu.datapath import Datapath


class BatchNormMultiply(wiring.Component):
    """product = (negate ? -sum : sum) * scale.

    Members: sum, scale, negate (in), product (out). Combinational; the unit registers the product: latency 1 cycle.
    """

    latency = 1

    sum: Signal
    scale: Signal
    negate: Signal
    product: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.path = path = Datapath(config)
        scale = shape(config.bn_scale.range)
        super().__init__(
            {"sum": In(shape(path.sum)), "scale": In(scale), "negate": In(1), "product": Out(shape(path.bn_product))}
        )

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        term = Signal(shape(self.path.sum | -self.path.sum))
        m.d.comb += [term.eq(Mux(self.negate, -self.sum, self.sum)), self.product.eq(term * self.scale)]
        return m


class BatchNormAdd(wiring.Component):
    """total = product / 2**shift + offset, exact, with bn_fraction + max_bn_shift fraction bits.

    Members: product, offset, shift (in), total (out). Combinational, latency 0.
    """

    latency = 0

    product: Signal
    offset: Signal
    shift: Signal
    total: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.path = path = Datapath(config)
        members = {
            "product": In(shape(path.bn_product)),
            "offset": In(shape(config.bn_offset.range)),
            "total": Out(shape(path.total)),
        }
        if config.max_bn_shift:
            members["shift"] = In(shape(Columns.ranges(config)["bn_shift"]))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config = self.config
        product = Number(self.product, self.path.bn_product)
        product = product << (config.bn_fraction - config.sum_fraction - config.bn_scale.fraction)
        if config.max_bn_shift:
            distance = Signal(shape(Range(0, config.max_bn_shift)))
            m.d.comb += distance.eq(config.max_bn_shift - self.shift)
            product = product.aligned(distance, config.max_bn_shift).named(m, "aligned")
        offset = Number(self.offset, config.bn_offset.range)
        offset = offset << (config.bn_fraction - config.bn_offset.fraction + config.max_bn_shift)
        m.d.comb += self.total.eq((product + offset).value)
        return m


class Relu(wiring.Component):
    """result = enable ? max(total, 0) : total.

    Parameters: `entry`, the range of the total. Members: total, enable (in), result (out). Combinational, latency 0.
    """

    latency = 0

    total: Signal
    enable: Signal
    result: Signal

    def __init__(self, entry: Range) -> None:
        super().__init__({"total": In(shape(entry)), "enable": In(1), "result": Out(shape(entry))})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        m.d.comb += self.result.eq(Mux(self.enable & self.total[-1], 0, self.total))
        return m


class ResidualMultiply(wiring.Component):
    """product = operand * scale.

    Members: operand, scale (in), product (out). Combinational; it shares the cycle of the stage beside it: latency 0.
    """

    latency = 0

    operand: Signal
    scale: Signal
    product: Signal

    def __init__(self, config: NmpuConfig) -> None:
        operand, scale = shape(config.residual_input.range), shape(config.residual_scale.range)
        super().__init__(
            {"operand": In(operand), "scale": In(scale), "product": Out(shape(Datapath(config).residual_product))}
        )

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        m.d.comb += self.product.eq(self.operand * self.scale)
        return m


class AddResidual(wiring.Component):
    """result = total + (add ? product / 2**shift : 0), exact, at the finest fraction of the two.

    Members: total, product, shift, add (in), result (out). Combinational; the unit registers the result: latency 1.
    """

    latency = 1

    total: Signal
    product: Signal
    shift: Signal
    add: Signal
    result: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.path = path = Datapath(config)
        members = {
            "total": In(shape(path.total)),
            "product": In(shape(path.residual_product)),
            "add": In(1),
            "result": Out(shape(path.final)),
        }
        if config.max_residual_shift:
            members["shift"] = In(shape(Columns.ranges(config)["residual_shift"]))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config, path = self.config, self.path
        product = Number(self.product, path.residual_product).only_if(self.add).named(m, "operand")
        if config.max_residual_shift:
            distance = Signal(shape(Range(0, config.max_residual_shift)))
            m.d.comb += distance.eq(config.max_residual_shift - self.shift)
            product = product.aligned(distance, config.max_residual_shift).named(m, "aligned")
        product = product << (path.final_fraction - config.residual_scale.fraction - config.max_residual_shift)
        total = Number(self.total, path.total) << (path.final_fraction - path.total_fraction)
        m.d.comb += self.result.eq((total + product).value)
        return m


class Requantise(wiring.Component):
    """code = saturate(round_shift(total, fraction, rounding) >> cut_post, output); `saturated`: it was clipped.

    Members: total (in), code, saturated (out). Combinational; the unit registers the code: latency 1 cycle.
    """

    latency = 1

    total: Signal
    code: Signal
    saturated: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.path = path = Datapath(config)
        super().__init__({"total": In(shape(path.final)), "code": Out(shape(config.output.range)), "saturated": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config, path = self.config, self.path
        rounded = round_shift(Number(self.total, path.final), path.final_fraction, config.rounding).named(m, "rounded")
        cut = Range(rounded.range.lo >> config.cut_post, rounded.range.hi >> config.cut_post)
        kept = Number(rounded.value[config.cut_post :], cut).named(m, "kept") if config.cut_post else rounded
        code, clipped = saturate(kept, config.output.range)
        m.d.comb += [self.code.eq(code.value), self.saturated.eq(clipped)]
        return m
