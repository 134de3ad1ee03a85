"""Compression to guard precision and the adder for the partial sum of the tile before."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.nmpu_config import NmpuConfig
from hdl.fixed import Number, round_shift, saturate, shape
from hdl.nmpu.datapath import Datapath


class Compress(wiring.Component):
    """term = round_shift(total, F + max_shift - sum_fraction, rounding): T rounded to a partial sum's fraction.

    Members: total (in), term (out). Combinational, latency 0.
    """

    latency = 0

    total: Signal
    term: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.path = Datapath(config)
        super().__init__({"total": In(shape(self.path.affine)), "term": Out(shape(config.term_range))})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        bits = self.path.affine_fraction - self.config.sum_fraction
        term = round_shift(Number(self.total, self.path.affine), bits, self.config.rounding)
        m.d.comb += self.term.eq(term.value)
        return m


class Accumulate(wiring.Component):
    """sum = saturate(term + (receive ? received : 0), sum_range); `saturated` tells that it was clipped.

    Members: term, received, receive (in), sum, saturated (out). A unit without partial sums (batch norm alone) passes
    the term on. Combinational; the unit registers the sum: latency 1 cycle, a word each cycle.
    """

    latency = 1

    term: Signal
    received: Signal
    receive: Signal
    sum: Signal
    saturated: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        path = Datapath(config)
        members = {"term": In(shape(config.term_range)), "sum": Out(shape(path.sum)), "saturated": Out(1)}
        if config.partial_sum:
            members |= {"received": In(shape(path.sum)), "receive": In(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        total = Number(self.term, self.config.term_range)
        if self.config.partial_sum:
            received = Number(self.received, self.config.sum_range).only_if(self.receive)
            total = (total + received).named(m, "total")
            total, clipped = saturate(total, self.config.sum_range)
            m.d.comb += self.saturated.eq(clipped)
        m.d.comb += self.sum.eq(total.value)
        return m
