"""Affine correction: T = cut(cnt_p * s_p) - cut(cnt_n * s_n) + offset, in two combinational steps."""

from amaranth.hdl import Module, Mux

from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, Input
from hdl.fixed import Number
from hdl.nmpu.stage import FLAG, Stage


class Multiply(Stage):
    """added = cut(first * scale_p), taken = cut(second * scale_n); the counts are swapped where `negate` is 1.

    A signed code has one product, (negate ? -code : code) * scale_p. The `cut_pre` lowest bits are left out of the
    outputs. Latency 1.
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
        """Return added and taken, without their low bits."""
        if self.config.input is Input.CODE:
            return {"added": self.path.product}
        return {"added": self.path.product, "taken": self.path.product}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the products."""
        swap, first, cut = inputs["negate"].value, inputs["first"].value, self.config.cut_pre

        def product(entry: object, scale: str) -> Number:
            whole = Number(entry, self.config.input_range | -self.config.input_range) * inputs[scale]
            return Number(whole.value[cut:] if cut else whole.value, self.path.product)

        if self.config.input is Input.CODE:
            return {"added": product(Mux(swap, -first, first), "scale_p")}
        second = inputs["second"].value
        return {
            "added": product(Mux(swap, second, first), "scale_p"),
            "taken": product(Mux(swap, first, second), "scale_n"),
        }


class Affine(Stage):
    """total = (added - taken) / 2**(scale fraction + k) + offset, exact, k = layer_shift + shift up to `max_shift`.

    The total has the constant fraction F + max_shift. Latency 0: it shares the cycle of the stage behind it.
    """

    @property
    def inputs(self) -> dict[str, Range]:
        """Return added, taken, offset, shift, layer_shift."""
        config = self.config
        inputs = {"added": self.path.product, "offset": config.offset.range}
        if config.input is Input.COUNTS:
            inputs["taken"] = self.path.product
        if config.max_column_shift:
            inputs["shift"] = Columns.ranges(config)["shift"]
        if config.max_layer_shift:
            inputs["layer_shift"] = Range(0, config.max_layer_shift)
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return T."""
        return {"total": self.path.affine}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return T."""
        config = self.config
        product = inputs["added"]
        if "taken" in inputs:
            product = product - inputs["taken"]
        product = product << (config.affine_fraction - config.scale.fraction + config.cut_pre)
        if config.max_shift:
            shifts = [inputs[name] for name in ("shift", "layer_shift") if name in inputs]
            product = product.aligned(sum((n.value for n in shifts[1:]), shifts[0].value), config.max_shift)
        return {"total": product + (inputs["offset"] << (self.path.affine_fraction - config.offset.fraction))}
