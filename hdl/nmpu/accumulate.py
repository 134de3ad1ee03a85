"""Compression to guard precision and the adder for the partial sum of the tile before."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal

from golden_model.fixed import Range
from hdl.fixed import Number, add_all, add_carry, rounding_carry, saturate
from hdl.nmpu.affine import Multiply
from hdl.nmpu.stage import FLAG, Stage


class Compress(Stage):
    """term + carry = round_shift(total, F + max_shift - sum_fraction, rounding): T rounded to a sum's fraction.

    The carry is left to the adder behind. A column of one tile is rounded only once, at the end: where `rounded` is 0,
    the carry is 0 and `rest` keeps the dropped bits, so that nothing is lost. Latency 0.
    """

    @property
    def inputs(self) -> dict[str, Range]:
        """Return T, and whether it is rounded here where there is a choice."""
        return {"total": self.path.affine} | ({"rounded": FLAG} if self.path.chooses else {})

    @property
    def outputs(self) -> dict[str, Range]:
        """Return floor(T), the carry that rounds it, the bits below it."""
        outputs = {"term": self.path.term, "carry": FLAG}
        return outputs | {"rest": self.path.rest} if self.path.keeps_rest else outputs

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return floor(T), the carry that rounds it, the bits below it."""
        total, bits = inputs["total"], self.path.compression
        carry, rest = rounding_carry(total, bits, self.config.rounding), total.value[:bits]
        if self.path.chooses:
            carry, rest = carry & inputs["rounded"].value, Mux(inputs["rounded"].value, 0, rest)
        return {"term": total >> bits, "carry": Number(carry, FLAG), "rest": Number(rest, self.path.rest)}


class Accumulate(Stage):
    """total = saturate(term + carry + received, sum_range); `sum_saturated` tells that it was clipped.

    `received` is 0 for the first tile. In a unit without partial sums (batch norm alone) only the carry is added. Where
    there is a choice, the total has T's fraction: the rest stands below the sum, so that it is T again for a column of
    one tile. There `rounded` is 0 and INT8 sums are not clipped; a wide sum holds every T. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the term, its carry, what was received, the compression's choice and its rest."""
        inputs = {"term": self.path.term, "carry": FLAG}
        if self.config.partial_sum:
            inputs["received"] = self.config.sum_range
        if self.path.clips_by_choice:
            inputs["rounded"] = FLAG
        return inputs | {"rest": self.path.rest} if self.path.keeps_rest else inputs

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the sum and its flag."""
        total = {"total": self.path.total if self.path.chooses else self.path.sum}
        return total | {"sum_saturated": FLAG} if self.config.partial_sum else total

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the sum and its flag."""
        received = inputs.get("received", Number(Const(0, 1), Range(0, 0)))
        total = add_carry(m, inputs["term"], received, inputs["carry"].value, f"{name}_carried")
        if not self.config.partial_sum:
            return {"total": total}
        only_if = inputs["rounded"].value if self.path.clips_by_choice else None
        kept, clipped = saturate(m, total, self.config.sum_range, f"{name}_sum", only_if, self.path.term)
        if "rest" in inputs:
            kept = Number(Cat(inputs["rest"].value, kept.value).as_signed(), self.path.total)
        return {"total": kept, "sum_saturated": clipped}


class Gather(Stage):
    """Affine, Compress and Accumulate in one adder: where the rounding is a constant and nothing shifts at run time.

    whole = added - taken + offset + (received << d) + half, d the bits that the compression drops: received has no bits
    there, so that rounding T or the sum is the same. Where there is a choice, `rounded` 0 leaves out the half. `Limit`
    makes the sum of it, a step later; where that step multiplies, it is made here. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the products and the offset, or their rows, what was received, and the compression's choice."""
        inputs = Multiply(self.config).outputs
        if not self.path.carry_save:
            inputs["offset"] = self.config.offset.range
        if self.config.partial_sum:
            inputs["received"] = self.config.sum_range
        return inputs | ({"rounded": FLAG} if self.path.chooses else {})

    @property
    def outputs(self) -> dict[str, Range]:
        """Return what was gathered, or the sum and its flag."""
        return {"whole": self.path.gathered} if self.path.limits else Accumulate(self.config).outputs

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return what was gathered, or the sum and its flag."""
        path, drops, half = self.path, self.path.compression, self.path.gathered_half
        plus, minus, constant = self._terms(inputs)
        if "received" in inputs:
            plus.append(inputs["received"] << drops)
        if half and path.chooses:
            plus.append(inputs["rounded"] << (drops - 1))
        whole = add_all(m, plus, minus, constant + (0 if path.chooses else half), path.gathered, f"{name}_whole")
        if path.limits:
            return {"whole": whole}
        total = whole >> drops
        if not self.config.partial_sum:
            return {"total": total}
        kept, clipped = saturate(m, total, self.config.sum_range, f"{name}_sum")
        return {"total": kept, "sum_saturated": clipped}

    def _terms(self, inputs: dict[str, Number]) -> tuple[list[Number], list[Number], int]:
        """Return what T is made of: what is added, what is taken, and a constant."""
        if self.path.carry_save:
            return [inputs["row_a"], inputs["row_b"]], [], -self.path.rows_bias
        up = self.config.affine_fraction - self.config.scale.fraction + self.config.cut_pre
        product, plus = inputs["added"], [inputs["offset"] << self.path.offset_place]
        if "negated" in inputs:  # -x is ~x and a one
            negated = inputs["negated"].value
            flipped = product.value[:] ^ negated.replicate(len(product.value))
            product = Number(flipped.as_signed(), product.range | Range(~product.range.hi, ~product.range.lo))
            plus.append(Number(negated, FLAG) << up)
        return [*plus, product << up], [inputs["taken"] << up] if "taken" in inputs else [], 0


class Limit(Stage):
    """total = relu(saturate(floor(whole / 2**d), sum_range)), the ReLU where `relu_before` is 1; and the flag.

    Where `rounded` is 0, a column of one tile, the low bits, then T's, stand below the sum, and INT8 sums are not
    clipped. The sign is that of `whole` whatever is clipped: the ReLU waits for no multiplexer. Latency 0.
    """

    @property
    def inputs(self) -> dict[str, Range]:
        """Return what was gathered, the compression's choice, and the enable of the ReLU."""
        inputs = {"whole": self.path.gathered, "rounded": FLAG}
        return inputs | ({"relu_before": FLAG} if self.config.relu and self.config.residual else {})

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the sum and its flag."""
        return Accumulate(self.config).outputs

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the sum and its flag."""
        path, low, whole = self.path, self.path.compression, inputs["whole"].value
        rounded, sign = inputs["rounded"].value, whole[-1]
        high, width = low + self.config.sum_range.signed_bits - 1, path.total.signed_bits
        clips, zero = Signal(name=f"{name}_clips"), Signal(name=f"{name}_zero")
        beyond = whole[high:] != sign.replicate(len(whole) - high)
        m.d.comb += clips.eq(beyond & rounded if path.clips_by_choice else beyond)
        if "relu_before" in inputs:
            m.d.comb += zero.eq(inputs["relu_before"].value & sign)
        over, under = clips & ~sign, clips & sign | zero
        rest = whole[:low] & ~(rounded | zero).replicate(low)
        kept = (whole[low:high] | over.replicate(high - low)) & ~under.replicate(high - low)
        above = Mux(clips, sign.replicate(width - high), whole[high:width]) & ~zero.replicate(width - high)
        total = Number(Cat(rest, kept, above).as_signed(), path.total)
        return {"total": total, "sum_saturated": Number(clips, FLAG)}
