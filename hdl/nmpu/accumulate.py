"""Compression to guard precision and the adder for the partial sum of the tile before."""

from amaranth.hdl import Module, Mux

from golden_model.fixed import Range
from hdl.fixed import Number, round_shift, saturate
from hdl.nmpu.stage import FLAG, Stage


class Compress(Stage):
    """term = round_shift(total, F + max_shift - sum_fraction, rounding): T rounded to a partial sum's fraction.

    Latency 0.
    """

    @property
    def inputs(self) -> dict[str, Range]:
        """Return T."""
        return {"total": self.path.affine}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the term."""
        return {"term": self.config.term_range}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the term."""
        bits = self.path.affine_fraction - self.config.sum_fraction
        return {"term": round_shift(inputs["total"], bits, self.config.rounding)}


class Accumulate(Stage):
    """sum = saturate(term + received, sum_range); `saturated` tells that it was clipped.

    `received` is 0 for the first tile. A unit without partial sums (batch norm alone) passes the term on. Latency 1.
    """

    latency = 1

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the term and what was received."""
        term = {"term": self.config.term_range}
        return term | {"received": self.config.sum_range} if self.config.partial_sum else term

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the sum and its flag."""
        return {"sum": self.path.sum, "saturated": FLAG} if self.config.partial_sum else {"sum": self.path.sum}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the sum and its flag."""
        if not self.config.partial_sum:
            return {"sum": inputs["term"]}
        total = (inputs["term"] + inputs["received"]).named(m, f"several{lane}")
        kept, clipped = saturate(m, total, self.config.sum_range, f"several{lane}")
        return {"sum": kept, "saturated": clipped}


class Choose(Stage):
    """chosen = rounded ? sum : total: a column of one tile skips the compression and is rounded once.

    `rounded` is 0 for the one tile of a column. Latency 0.
    """

    @property
    def inputs(self) -> dict[str, Range]:
        """Return T, the sum, and which of them."""
        return {"total": self.path.affine, "sum": self.path.sum, "rounded": FLAG}

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the chosen one at T's fraction."""
        return {"chosen": self.path.total}

    def compute(self, m: Module, lane: str, **inputs: Number) -> dict[str, Number]:
        """Return the chosen one."""
        aligned = inputs["sum"] << self.path.sum_alignment
        return {"chosen": Number(Mux(inputs["rounded"].value, aligned.value, inputs["total"].value), self.path.total)}
