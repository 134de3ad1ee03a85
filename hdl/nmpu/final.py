"""The stages behind the sum: batch norm, residual, ReLU, requantisation."""

from amaranth.hdl import Const, Module, Mux, Signal

from golden_model.fixed import Range, Rounding
from golden_model.nmpu_config import Columns, NmpuConfig
from hdl.fixed import Number, add_negated, round_shift, rounding_carry, saturate, shape
from hdl.nmpu.stage import FLAG, Stage


class BatchNormMultiply(Stage):
    """product = sum * scale, negated by the adder behind.

    A sum that is not the last passes with scale code 1 and neither sign, shift nor offset: a product like any other.
    Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the sum and the column's scale."""
        return {"total": self.path.sum, "bn_scale": self.config.bn_scale.range}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the product."""
        return {"product": self.path.bn_product}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the product."""
        return {"product": inputs["total"] * inputs["bn_scale"]}


class BatchNormAdd(Stage):
    """total = (negate ? -product : product) / 2**shift + offset, exact, with bn_fraction + max_bn_shift fraction bits.

    Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the product and the column's sign, offset and shift."""
        inputs = {"product": self.path.bn_product, "bn_negate": FLAG, "bn_offset": self.config.bn_offset.range}
        if self.config.max_bn_shift:
            inputs["bn_shift"] = Columns.ranges(self.config)["bn_shift"]
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the result."""
        return {"total": self.path.bn_total}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the result."""
        config, path, largest = self.config, self.path, self.config.max_bn_shift
        product = inputs["product"] << (config.bn_fraction - config.sum_fraction - config.bn_scale.fraction)
        if largest:
            product = product.aligned(inputs["bn_shift"].value, largest)
        offset = inputs["bn_offset"] << (path.total_fraction - config.bn_offset.fraction)
        return {"total": add_negated(m, product, inputs["bn_negate"].value, offset, f"{name}_sum")}


class Relu(Stage):
    """total = relu_before ? max(total, 0) : total: the ReLU in front of the residual adder. Latency 0."""

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the total and the enable."""
        return {"total": self.path.total, "relu_before": FLAG}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the result."""
        return {"total": self.path.total}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the result."""
        return {"total": inputs["total"].relu(inputs["relu_before"].value)}


class ResidualMultiply(Stage):
    """residual_a + residual_b = residual * scale, modulo their width. Beside other stages; the step of its own that
    latency 1 gives it is there where something is summed.
    """

    beside = True

    def __init__(self, config: NmpuConfig) -> None:
        super().__init__(config)
        self.latency = int(self.path.sums)

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the operand and the column's scale."""
        return {"residual": self.config.residual_input.range, "residual_scale": self.config.residual_scale.range}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the product as two rows."""
        row = Range(0, (1 << shape(self.path.residual_product).width) - 1)
        return {"residual_a": row, "residual_b": row}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the product as two rows."""
        width = shape(self.path.residual_product).width
        if not self.config.carry_save:  # the multiplier carries itself: one row
            product = Signal(width, name=f"{name}_product")
            m.d.comb += product.eq((inputs["residual"] * inputs["residual_scale"]).value)
            parts = (product, Const(0, width))
            return {each: Number(row, of) for (each, of), row in zip(self.outputs.items(), parts, strict=True)}
        made = self.multiply_add(m, inputs["residual"], inputs["residual_scale"], None, width, f"{name}_product")
        return {
            each: Number(row.bits(0, width), of) for (each, of), row in zip(self.outputs.items(), made, strict=True)
        }


class ResidualShift(Stage):
    """residual_product = add ? (residual_a + residual_b) << (max_residual_shift - shift) : 0, at a constant fraction.
    Latency 1, beside other stages.
    """

    beside = True
    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the rows, whether there is an operand, and the column's shift."""
        inputs = ResidualMultiply(self.config).outputs | {"add": FLAG}
        if self.config.max_residual_shift:
            inputs["residual_shift"] = Columns.ranges(self.config)["residual_shift"]
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the product."""
        product = self.path.residual_product
        return {"residual_product": product | (product << self.config.max_residual_shift)}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the product."""
        whole = Signal(shape(self.path.residual_product), name=f"{name}_whole")
        m.d.comb += whole.eq(inputs["residual_a"].value + inputs["residual_b"].value)
        product = Number(whole, self.path.residual_product).only_if(inputs["add"].value)
        largest = self.config.max_residual_shift
        return {"residual_product": product.aligned(inputs["residual_shift"].value, largest) if largest else product}


class AddResidual(Stage):
    """total = total + product, exact, at the finer fraction of the two. Latency 1."""

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the total and the residual product."""
        return {"total": self.path.total} | ResidualShift(self.config).outputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the sum."""
        return {"total": self.path.final}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the sum."""
        path = self.path
        product = inputs["residual_product"] << (path.final_fraction - path.residual_fraction)
        return {"total": (inputs["total"] << (path.final_fraction - path.total_fraction)) + product}


class Requantise(Stage):
    """code = saturate(relu(round_shift(total, fraction, rounding) >> cut_post), output), `saturated`: it was clipped.

    The last ReLU works on the rounded number, which is shorter: rounding keeps order and 0, so the code is the same as
    if the ReLU stood in front. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the number to round and the enable of the last ReLU."""
        return {"total": self.path.final} | ({"relu_after": FLAG} if self.config.relu else {})

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the code and its flag."""
        return {"code": self.config.output.range, "saturated": FLAG}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the code and its flag."""
        fraction, mode, limits = self.path.final_fraction, self.config.rounding, self.config.output.range
        if not self.config.cut_post and fraction and self.path.final.signed_bits - fraction > limits.signed_bits:
            return self._short(m, name, inputs)
        rounded = round_shift(inputs["total"], fraction, mode)
        rounded = round_shift(rounded, self.config.cut_post, Rounding.FLOOR).named(m, f"{name}_rounded")
        if self.config.relu:
            rounded = rounded.relu(inputs["relu_after"].value).named(m, f"{name}_positive")
        code, clipped = saturate(m, rounded, self.config.output.range, f"{name}_rounded")
        return {"code": code, "saturated": clipped}

    def _short(self, m: Module, name: str, inputs: dict[str, Number]) -> dict[str, Number]:
        """Return the code and its flag; only the bits that a code has are rounded.

        The rounded number, floor + carry, lies beyond a limit where floor does, or floor is the last number on the one
        side and the carry decides. A floor of -1 that the carry takes to 0 is 0 with the ReLU as without.
        """
        limits, mode = self.config.output.range, self.config.rounding
        floor = (inputs["total"] >> self.path.final_fraction).named(m, f"{name}_floor")
        carry = rounding_carry(inputs["total"], self.path.final_fraction, mode)
        over, under = Signal(name=f"{name}_over"), Signal(name=f"{name}_under")
        positive, near = Signal(name=f"{name}_positive"), Signal(shape(limits), name=f"{name}_near")
        m.d.comb += [
            positive.eq(inputs["relu_after"].value & floor.value[-1] if self.config.relu else 0),
            near.eq(floor.value[: len(near)] + carry),
            over.eq((floor.value > limits.hi) | ((floor.value == limits.hi) & carry)),
            under.eq(~positive & ((floor.value < limits.lo - 1) | ((floor.value == limits.lo - 1) & ~carry))),
        ]
        edge = Mux(under, Const(limits.lo, shape(limits)), near)
        code = Signal(shape(limits), name=f"{name}_clipped")
        m.d.comb += code.eq(Mux(positive, 0, Mux(over, Const(limits.hi, shape(limits)), edge)))
        return {"code": Number(code, limits), "saturated": Number(over | under, FLAG)}
