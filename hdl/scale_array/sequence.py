"""What is worked on when: the codes of a stream are taken, then its rows go by, pass by pass, one a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal

from golden_model.fixed import Range
from golden_model.scale_array.config import ScaleArrayConfig
from hdl.fixed import shape


def counter(name: str, top: int) -> Signal:
    """Return a register that counts 0 .. top."""
    return Signal(shape(Range(0, top)), name=name, reset_less=True)


class Sequence:
    """Builds the input side into a module: `i.ready`, the codes taken, and the slot at hand.

    * `taken`: a word is accepted in this cycle; `begins`: it is stream 0 of an array.
    * `works`, `subtract`: of every column of the stream at hand, p != 0 and p = -1; `illegal`: of the word accepted.
    * `busy`: a slot is at hand; `row`, `number` (its pass), `scale_row`, `sum_row`: what it works on; `last`: it is one
      of the array's last stream.
    * `stream`: the stream that the next word is.

    Everything moves on where `advance` is 1. Reset clears `busy` and `stream`.
    """

    def __init__(self, m: Module, config: ScaleArrayConfig, unit: Any, advance: Any, binary: Any) -> None:
        columns, width, passes = config.columns, config.scale_bits, config.passes
        self.busy, self.stream = Signal(name="busy"), Signal(shape(Range(0, config.streams - 1)), name="stream")
        self.row, self.number = counter("row", width - 1), counter("pass", passes - 1)
        self.scale_row = counter("scale_row", config.scale_rows - 1)
        self.sum_row = counter("sum_row", config.sum_bits - 1)
        self.last = Signal(name="last", reset_less=True)
        self.works, self.subtract = (Signal(columns, name=name, reset_less=True) for name in ("works", "subtract"))
        self.taken, self.begins, self.illegal = (
            Signal(name="taken"),
            Signal(name="begins"),
            Signal(columns, name="illegal"),
        )
        row_ends, ends = Signal(name="row_ends"), Signal(name="ends")
        code = unit.i.payload.as_value()
        low, sign, mode = code[0::2], code[1::2], binary.replicate(columns)
        m.d.comb += [
            row_ends.eq(self.row == width - 1),
            ends.eq(row_ends & (self.number == passes - 1)),
            unit.i.ready.eq(advance & (~self.busy | ends)),
            self.taken.eq(unit.i.valid & unit.i.ready),
            self.begins.eq(self.taken & (self.stream == 0)),
            self.illegal.eq(Mux(self.taken, sign & ~low & ~mode, 0)),
        ]
        with m.If(self.taken):
            final = self.stream == config.streams - 1
            m.d.sync += [
                self.works.eq(low | mode),
                self.subtract.eq(sign & (low | mode)),
                self.last.eq(final),
                self.stream.eq(Mux(final, 0, self.stream + 1)),
                self.busy.eq(1),
                Cat(self.row, self.number, self.sum_row).eq(0),
                self.scale_row.eq(Mux(self.stream == 0, 0, self.scale_row + 1)),
            ]
        with m.Elif(advance & self.busy):
            with m.If(ends):
                m.d.sync += self.busy.eq(0)
            with m.Elif(row_ends):
                m.d.sync += [
                    self.row.eq(0),
                    self.number.eq(self.number + 1),
                    self.sum_row.eq(self.number + 1),
                    self.scale_row.eq(self.scale_row - (width - 1)),
                ]
            with m.Else():
                m.d.sync += [
                    self.row.eq(self.row + 1),
                    self.sum_row.eq(self.sum_row + passes),
                    self.scale_row.eq(self.scale_row + 1),
                ]
