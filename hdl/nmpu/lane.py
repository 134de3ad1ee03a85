"""One lane: the arithmetic of one column a cycle, and the registers between its steps."""

from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu.accumulate import Accumulate, Compress
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import AddResidual, BatchNormAdd, BatchNormMultiply, Relu, Requantise, ResidualMultiply
from hdl.nmpu.ports import input_fields, layer_fields, output_fields, parameter_fields
from hdl.nmpu.schedule import Schedule


class Lane(wiring.Component):
    """The steps between the unit's input register and its output register."""

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        members: dict[str, Any] = {"advance": In(1)}
        members |= {name: In(field) for name, field in input_fields(config).items()}
        members |= {name: In(field) for name, field in parameter_fields(config).items()}
        members |= {f"layer_{name}": In(field) for name, field in layer_fields(config).items()}
        members |= {name: Out(field) for name, field in output_fields(config).items()}
        members["saturated"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config, path = self.config, Datapath(self.config)
        schedule = Schedule(config)
        wires = vars(self)

        def step(value: Any, name: str) -> Any:
            register = Signal(Shape.cast(value.shape()), name=name, reset_less=True)
            with m.If(self.advance):
                m.d.sync += register.eq(value)
            return register

        def connect(part: Any, **inputs: Any) -> Any:
            m.d.comb += [getattr(part, name).eq(value) for name, value in inputs.items() if hasattr(part, name)]
            return part

        last = self.layer_last if config.partial_sum else 1
        m.submodules.multiply = multiply = connect(
            Multiply(config),
            first=self.first,
            second=wires.get("second"),
            scale_p=self.scale_p,
            scale_n=wires.get("scale_n"),
            negate=self.negate,
        )
        m.submodules.affine = affine = connect(
            Affine(config),
            added=step(multiply.added, "added"),
            taken=step(multiply.taken, "taken") if hasattr(multiply, "taken") else None,
            offset=self.offset,
            shift=wires.get("shift"),
            layer_shift=wires.get("layer_shift"),
        )
        total, saturated = affine.total, 0
        if path.sums:
            m.submodules.compress = compress = connect(Compress(config), total=total)
            m.submodules.accumulate = accumulate = connect(
                Accumulate(config),
                term=compress.term,
                received=step(self.received, "partial") if config.partial_sum else None,
                receive=wires.get("layer_receive"),
            )
            summed, clipped = accumulate.sum, accumulate.saturated
            if config.batch_norm:
                summed = step(summed, "summed")
                saturated = step(clipped, "sum_saturated") if config.partial_sum else 0
            else:
                several = Signal()
                m.d.comb += several.eq(self.layer_receive | ~last)
                bypass = Signal(len(summed) + path.total_fraction - config.sum_fraction)
                m.d.comb += bypass.eq(summed << (path.total_fraction - config.sum_fraction))
                total = step(Mux(several, bypass.as_signed(), total), "total")
                saturated = step(several & clipped, "sum_saturated")
        if config.batch_norm:
            m.submodules.bn_multiply = bn_multiply = connect(
                BatchNormMultiply(config), sum=summed, scale=self.bn_scale, negate=self.bn_negate
            )
            m.submodules.bn_add = bn_add = connect(
                BatchNormAdd(config),
                product=step(bn_multiply.product, "bn_product"),
                offset=self.bn_offset,
                shift=wires.get("bn_shift"),
            )
            total = bn_add.total
            if config.partial_sum:
                saturated = step(saturated, "bn_saturated")
                summed = step(summed, "bn_summed")
                total = Mux(last, total, summed << (path.total_fraction - config.sum_fraction))
        if config.residual:
            if config.relu:
                m.submodules.relu_before = before = connect(
                    Relu(path.total), total=total, enable=self.layer_relu_before & last
                )
                total = before.result
            operand = self.residual
            for index in range(schedule.residual_wait):
                operand = step(operand, f"residual_{index}")
            m.submodules.residual_multiply = product = connect(
                ResidualMultiply(config), operand=operand, scale=self.residual_scale
            )
            m.submodules.add_residual = add = connect(
                AddResidual(config),
                total=total,
                product=step(product.product, "residual_product"),
                shift=wires.get("residual_shift"),
                add=self.layer_add_residual & last,
            )
            total = add.result
        if config.relu:
            m.submodules.relu_after = after = connect(
                Relu(path.final), total=total, enable=self.layer_relu_after & last
            )
            total = after.result
        if config.residual:
            total = step(total, "final")
            saturated = step(saturated, "final_saturated") if config.partial_sum else 0
        m.submodules.requantise = requantise = connect(Requantise(config), total=total)
        if config.partial_sum:
            m.d.comb += [
                self.code.eq(Mux(last, requantise.code, 0)),
                self.sum.eq(Mux(last, 0, total >> (path.final_fraction - config.sum_fraction))),
                self.saturated.eq(saturated | (last & requantise.saturated)),
            ]
        else:
            m.d.comb += [self.code.eq(requantise.code), self.saturated.eq(saturated | requantise.saturated)]
        return m
