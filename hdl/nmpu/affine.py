"""Affine correction: T = cut(cnt_p * s_p) - cut(cnt_n * s_n) + offset, in two combinational steps."""

from typing import Any

from amaranth.hdl import Module, Mux

from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from hdl.fixed import Number, add_negated
from hdl.nmpu.stage import FLAG, Stage


class Multiply(Stage):
    """added = cut(first * scale_p), taken = cut(second * scale_n); the counts are swapped where `negate` is 1.

    A signed code has one product, code * scale_p, which the adder behind negates; with a cut, which is no odd function,
    the code is negated before. The `cut_pre` lowest bits are left out of the outputs. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return first, second, scale_p, scale_n, negate."""
        entry, scale = self.config.input_range, self.config.scale.range
        if self.config.input is Input.CODE:
            return {"first": entry, "scale_p": scale, "negate": FLAG}
        return {"first": entry, "second": entry, "scale_p": scale, "scale_n": scale, "negate": FLAG}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return added and taken without their low bits, or added and whether it has yet to be negated."""
        product = {"added": self.path.product}
        if self.config.input is Input.CODE:
            return product | ({"negated": FLAG} if self.path.negates_late else {})
        return product | {"taken": self.path.product}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the products."""
        swap, first, cut = inputs["negate"], inputs["first"].value, self.config.cut_pre

        def product(entry: Any, scale: str) -> Number:
            whole = entry * inputs[scale].value
            return Number(whole[cut:] if cut else whole, self.path.product)

        if self.path.negates_late:
            return {"added": product(first, "scale_p"), "negated": swap}
        if self.config.input is Input.CODE:
            return {"added": product(Mux(swap.value, -first, first), "scale_p")}
        second = inputs["second"].value
        return {
            "added": product(Mux(swap.value, second, first), "scale_p"),
            "taken": product(Mux(swap.value, first, second), "scale_n"),
        }


class Affine(Stage):
    """total = (added - taken) / 2**(scale fraction + k) + offset, exact, k = layer_shift + shift up to `max_shift`.

    For a signed code (negated ? -added : added) stands for the difference. The total has the constant fraction
    F + max_shift. Latency 1 in front of an accumulate stage, else 0: it shares the cycle of the stage behind it.
    """

    def __init__(self, config: NmpuConfig) -> None:
        super().__init__(config)
        self.latency = int(self.path.sums)

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the products, offset, shift, layer_shift."""
        config = self.config
        inputs = Multiply(config).outputs | {"offset": config.offset.range}
        if config.max_column_shift:
            inputs["shift"] = Columns.ranges(config)["shift"]
        if config.max_layer_shift:
            inputs["layer_shift"] = Range(0, config.max_layer_shift)
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return T."""
        return {"total": self.path.affine}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return T."""
        config = self.config
        product = inputs["added"]
        if "taken" in inputs:
            product = product - inputs["taken"]
        product = product << (config.affine_fraction - config.scale.fraction + config.cut_pre)
        if config.max_shift:
            shifts = [inputs[each].value for each in ("shift", "layer_shift") if each in inputs]
            product = product.aligned(sum(shifts[1:], shifts[0]), config.max_shift)
        offset = inputs["offset"] << (self.path.affine_fraction - config.offset.fraction)
        if "negated" in inputs:
            return {"total": add_negated(m, product, inputs["negated"].value, offset, f"{name}_sum")}
        return {"total": product + offset}
