"""The stages behind the sum: batch norm, residual, ReLU, requantisation."""

from amaranth.hdl import Module, Mux

from golden_model.fixed import Range, Rounding
from golden_model.nmpu_config import Columns
from hdl.fixed import Number, round_shift, saturate
from hdl.nmpu.stage import FLAG, Stage


class BatchNormMultiply(Stage):
    """product = sum * (negate ? -scale : scale). Latency 1.

    A sum that is not the last passes with scale code 1 and neither sign, shift nor offset: a product like any other.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the sum and the column's scale and sign."""
        return {"sum": self.path.sum, "bn_scale": self.config.bn_scale.range, "bn_negate": FLAG}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the signed product."""
        return {"product": self.path.bn_product}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the signed product; the short operand is negated."""
        scale = inputs["bn_scale"]
        signed = Number(Mux(inputs["bn_negate"].value, -scale.value, scale.value), scale.range | -scale.range)
        return {"product": inputs["sum"] * signed.named(m, f"signed_scale{lane}")}


class BatchNormAdd(Stage):
    """total = product / 2**shift + offset, exact, with bn_fraction + max_bn_shift fraction bits. Latency 0."""

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the product and the column's offset and shift."""
        inputs = {"product": self.path.bn_product, "bn_offset": self.config.bn_offset.range}
        if self.config.max_bn_shift:
            inputs["bn_shift"] = Columns.ranges(self.config)["bn_shift"]
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the total."""
        return {"total": self.path.total}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the total."""
        config, path, largest = self.config, self.path, self.config.max_bn_shift
        product = inputs["product"] << (config.bn_fraction - config.sum_fraction - config.bn_scale.fraction)
        if largest:
            product = product.aligned(inputs["bn_shift"].value, largest)
        return {"total": product + (inputs["bn_offset"] << (path.total_fraction - config.bn_offset.fraction))}


class Relu(Stage):
    """positive = enable ? max(total, 0) : total: the ReLU in front of the residual adder. Latency 0."""

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the total and the enable."""
        return {"total": self.path.total, "relu": FLAG}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the result."""
        return {"positive": self.path.total}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the result."""
        return {"positive": inputs["total"].relu(inputs["relu"].value)}


class ResidualMultiply(Stage):
    """product = operand * scale. Latency 0: it works beside the stage in front of the adder."""

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the operand and the column's scale."""
        return {"residual": self.config.residual_input.range, "residual_scale": self.config.residual_scale.range}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the product."""
        return {"residual_product": self.path.residual_product}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the product."""
        return {"residual_product": inputs["residual"] * inputs["residual_scale"]}


class AddResidual(Stage):
    """final = total + product / 2**shift, exact, at the finer fraction of the two. Latency 1."""

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the total, the residual product and the column's shift."""
        inputs = {"total": self.path.total, "residual_product": self.path.residual_product}
        if self.config.max_residual_shift:
            inputs["residual_shift"] = Columns.ranges(self.config)["residual_shift"]
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the sum."""
        return {"final": self.path.final}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the sum."""
        path, largest = self.path, self.config.max_residual_shift
        product = inputs["residual_product"]
        if largest:
            product = product.aligned(inputs["residual_shift"].value, largest)
        product = product << (path.final_fraction - path.residual_fraction)
        return {"final": (inputs["total"] << (path.final_fraction - path.total_fraction)) + product}


class Requantise(Stage):
    """code = saturate(relu(round_shift(final, fraction, rounding) >> cut_post), output), `saturated`: it was clipped.

    The last ReLU works on the rounded number, which is shorter: rounding keeps order and 0, so the code is the same as
    if the ReLU stood in front. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the number to round and the enable of the last ReLU."""
        return {"final": self.path.final, "relu": FLAG} if self.config.relu else {"final": self.path.final}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the code and its flag."""
        return {"code": self.config.output.range, "saturated": FLAG}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the code and its flag."""
        rounded = round_shift(inputs["final"], self.path.final_fraction, self.config.rounding)
        rounded = round_shift(rounded, self.config.cut_post, Rounding.FLOOR).named(m, f"rounded{lane}")
        if self.config.relu:
            rounded = rounded.relu(inputs["relu"].value).named(m, f"positive{lane}")
        code, clipped = saturate(m, rounded, self.config.output.range, f"rounded{lane}")
        return {"code": code, "saturated": clipped}
