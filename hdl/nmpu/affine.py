"""Affine correction: T = cut(cnt_p * s_p) - cut(cnt_n * s_n) + offset, in two combinational steps."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from golden_model.fixed import Range
from golden_model.nmpu_config import Columns, Input, NmpuConfig
from hdl.carry_save import Addend, compress
from hdl.fixed import Number, add_all, add_negated, shape
from hdl.nmpu.stage import FLAG, Stage


class Multiply(Stage):
    """added = cut(first * scale_p), taken = cut(second * scale_n); the counts are swapped where `negate` is 1.

    A signed code has one product, code * scale_p, which the adder behind negates; with a cut, which is no odd function,
    the code is negated before. The `cut_pre` lowest bits are left out of the outputs.

    Where nothing else is added (`Datapath.fused`), products, offset and the last rounding meet in one adder here:
    summed = round_shift(T, fraction). A signed code that is negated leaves as its complement, negated = 1, which is
    product + ~offset + what the complements lack: one inversion behind the register is all it takes.

    Where more is added (`Datapath.carry_save`), products and offset leave as two rows, row_a + row_b = T + `rows_bias`:
    nothing carries before the adder behind the register. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return first, second, scale_p, scale_n, negate, and the offset where it is added here."""
        entry, scale = self.config.input_range, self.config.scale.range
        offset = {"offset": self.config.offset.range} if self.path.fused or self.path.carry_save else {}
        if self.config.input is Input.CODE:
            return {"first": entry, "scale_p": scale, "negate": FLAG} | offset
        return {"first": entry, "second": entry, "scale_p": scale, "scale_n": scale, "negate": FLAG} | offset

    @property
    def outputs(self) -> dict[str, Range]:
        """Return added and taken without their low bits, or their sum; and whether it has yet to be negated."""
        late = {"negated": FLAG} if self.path.negates_late else {}
        if self.path.fused:
            return {"summed": self.path.summed} | late
        if self.path.carry_save:
            return {"row_a": self.path.row, "row_b": self.path.row}
        product = {"added": self.path.product}
        return product | (late if self.config.input is Input.CODE else {"taken": self.path.product})

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the products, or their sum."""
        if self.path.fused:
            coded = self.config.input is Input.CODE
            return self._code(m, name, inputs) if coded else self._counts(m, name, inputs)
        if self.path.carry_save:
            return self._rows(m, name, inputs)
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

    def _rows(self, m: Module, name: str, inputs: dict[str, Number]) -> dict[str, Number]:
        """Return both products and the offset as two rows; -x is ~x and what that is too much."""
        path, swap = self.path, inputs["negate"].value
        first, second = (inputs[each] for each in ("first", "second"))
        added = Number(Mux(swap, second.value, first.value), first.range).named(m, f"{name}_plus")
        taken = Number(Mux(swap, first.value, second.value), first.range).named(m, f"{name}_minus")
        size, width = path.product.unsigned_bits, path.row.unsigned_bits
        addend = Addend(inputs["offset"], path.offset_place, path.rows_bias - 2 * ((1 << size) - 1))
        plus = self.multiply_add(m, added, inputs["scale_p"], addend, width, f"{name}_added")
        minus = self.multiply_add(m, taken, inputs["scale_n"], None, size, f"{name}_taken")
        made = compress(m, [*plus, *(row.complement(size) for row in minus)], width, f"{name}_both")
        return {each: Number(row.bits(0, width), path.row) for each, row in zip(("row_a", "row_b"), made, strict=True)}

    @property
    def _up(self) -> tuple[int, int]:
        """Return how far products and offset stand above T's last bit."""
        return self.path.affine_fraction - self.config.scale.fraction, self.path.offset_place

    def _counts(self, m: Module, name: str, inputs: dict[str, Number]) -> dict[str, Number]:
        """Return the sum of both products and the offset."""
        swap, first, second = (inputs[each] for each in ("negate", "first", "second"))
        scale, offset = self._up
        added = Number(Mux(swap.value, second.value, first.value), first.range) * inputs["scale_p"] << scale
        taken = Number(Mux(swap.value, first.value, second.value), first.range) * inputs["scale_n"] << scale
        of = self.path.affine + Range(self.path.half, self.path.half)
        # the constant before the subtraction: behind it, Verilator takes the sum's unused bit for a loop
        addend, width = inputs["offset"] << offset, shape(of).width
        high = len(addend.value) - 1
        constant = Const((self.path.half - (1 << high)) % (1 << width), width)
        whole = Signal(shape(of), name=f"{name}_whole")
        raised = Cat(addend.value[:high], ~addend.value[high])
        m.d.comb += whole.eq(added.value + raised + constant - taken.value)
        return {"summed": Number(whole, of) >> self.path.affine_fraction}

    def _code(self, m: Module, name: str, inputs: dict[str, Number]) -> dict[str, Number]:
        """Return T or ~T: x * s is the product of the bits below x's sign, less s at the sign's place.

        ~(-p + o + half) = p + ~o + (lowest bit of o) - 1 - half, as against p + o + half.
        """
        negate, first, scale = (inputs[each] for each in ("negate", "first", "scale_p"))
        half, (up, above), bits = self.path.half, self._up, len(first.value) - 1
        low = Number(first.value[:bits], Range(0, (1 << bits) - 1)) * scale << up
        # less it: its complement, and what that is too much
        high = Number(~(scale.value & first.value[bits].replicate(len(scale.value))), scale.range) << (bits + up)
        codes = inputs["offset"].range
        flips = negate.value.replicate(codes.signed_bits)
        offset = Number((inputs["offset"].value[:] ^ flips).as_signed(), codes | Range(~codes.hi, ~codes.lo)) << above
        more = (1 << above) - 1 - 2 * half
        width = Range(more, 0).signed_bits if more < 0 else more.bit_length()
        rest = [negate.value if more >> bit & 1 else Const(0, 1) for bit in range(width)]
        lacks = Number(Cat(rest).as_signed() if more < 0 else Cat(rest), Range(min(more, 0), max(more, 0)))
        whole = self.path.affine + Range(half, half)
        whole = whole | Range(~whole.hi, ~whole.lo)
        plus = [low, high, offset, lacks] if width else [low, high, offset]
        total = add_all(m, plus, [], half - (scale.range.hi << (bits + up)), whole, f"{name}_whole")
        return {"summed": total >> self.path.affine_fraction, "negated": negate}


class Affine(Stage):
    """total = (added - taken) / 2**(scale fraction + k) + offset, exact, k = layer_shift + shift up to `max_shift`.

    For a signed code (negated ? -added : added) stands for the difference. The total has the constant fraction
    F + max_shift. Where the stage before has added everything, total = negated ? ~summed : summed, an integer. Latency
    1 in front of an accumulate stage, else 0: it shares the cycle of the stage behind it.
    """

    def __init__(self, config: NmpuConfig) -> None:
        super().__init__(config)
        self.latency = int(self.path.sums)

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the products, offset, shift, layer_shift."""
        config = self.config
        if self.path.fused:
            return Multiply(config).outputs
        inputs = Multiply(config).outputs | {"offset": config.offset.range}
        if config.max_column_shift:
            inputs["shift"] = Columns.ranges(config)["shift"]
        if config.max_layer_shift:
            inputs["layer_shift"] = Range(0, config.max_layer_shift)
        return inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return T."""
        return {"total": self.path.final if self.path.fused else self.path.affine}

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return T."""
        config = self.config
        if self.path.fused:
            total = inputs["summed"]
            if "negated" in inputs:
                flips = inputs["negated"].value.replicate(len(total.value))
                total = Number((total.value[:] ^ flips).as_signed(), total.range)
            return {"total": total}
        product = inputs["added"]
        if "taken" in inputs:
            product = product - inputs["taken"]
        product = product << (config.affine_fraction - config.scale.fraction + config.cut_pre)
        if config.max_shift:
            shifts = [inputs[each].value for each in ("shift", "layer_shift") if each in inputs]
            product = product.aligned(sum(shifts[1:], shifts[0]), config.max_shift)
        offset = inputs["offset"] << self.path.offset_place
        if "negated" in inputs:
            return {"total": add_negated(m, product, inputs["negated"].value, offset, f"{name}_sum")}
        return {"total": product + offset}
