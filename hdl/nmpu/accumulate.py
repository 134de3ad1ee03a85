"""Compression to guard precision and the adder for the partial sum of the tile before."""

from amaranth.hdl import Cat, Const, Module, Mux

from golden_model.fixed import Range, Rounding
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

    total = saturate(floor(W / 2**d), sum_range), W = added - taken + offset + (received << d) + half, d the bits that
    the compression drops: received has no bits there, so that rounding T or the sum is the same. Where there is a
    choice, `rounded` 0 leaves out the half, and the low bits of W, then T's, stand below the sum. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the products, the offset, what was received, and the compression's choice."""
        inputs = Multiply(self.config).outputs | {"offset": self.config.offset.range}
        if self.config.partial_sum:
            inputs["received"] = self.config.sum_range
        return inputs | ({"rounded": FLAG} if self.path.chooses else {})

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the sum and its flag."""
        return Accumulate(self.config).outputs

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the sum and its flag."""
        config, path, drops = self.config, self.path, self.path.compression
        up = config.affine_fraction - config.scale.fraction + config.cut_pre
        product, offset = inputs["added"], inputs["offset"] << (path.affine_fraction - config.offset.fraction)
        plus, minus = [offset], [inputs["taken"] << up] if "taken" in inputs else []
        if "negated" in inputs:  # -x is ~x and a one
            negated = inputs["negated"].value
            flipped = product.value[:] ^ negated.replicate(len(product.value))
            product = Number(flipped.as_signed(), product.range | Range(~product.range.hi, ~product.range.lo))
            plus.append(Number(negated, FLAG) << up)
        plus.append(product << up)
        most = path.affine
        if "received" in inputs:
            plus.append(inputs["received"] << drops)
            most = most + (config.sum_range << drops)
        half = (1 << drops >> 1) if config.rounding is Rounding.HALF_UP else 0
        if half and path.chooses:
            plus.append(inputs["rounded"] << (drops - 1))
        most = most + Range(0, half)
        whole = add_all(m, plus, minus, 0 if path.chooses else half, most, f"{name}_whole")
        total = whole >> drops
        if not config.partial_sum:
            return {"total": total}
        only_if = inputs["rounded"].value if path.clips_by_choice else None
        kept, clipped = saturate(m, total, config.sum_range, f"{name}_sum", only_if, path.term)
        if path.keeps_rest:
            rest = Mux(inputs["rounded"].value, 0, whole.value[:drops])[:drops]
            kept = Number(Cat(rest, kept.value).as_signed(), path.total)
        return {"total": kept, "sum_saturated": clipped}
