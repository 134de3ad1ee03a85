"""Faults in what lies between the stages that the proof of the control must refute."""

from __future__ import annotations

import dataclasses

from amaranth.hdl import Module, Mux, Signal

from golden_model.nmpu_config import NmpuConfig
from hdl.frame import Frame
from hdl.nmpu import Nmpu
from synth.prove.control import coloured, prove_control
from synth.prove.obligation import Outcome

SMALL = NmpuConfig(residual=False, units=1, columns=2)
"""What the faults are planted in: a sum, two columns that must not be mixed up."""


class Dropped(Nmpu):
    """A word is lost where it comes directly behind another and the output has just had to wait."""

    def _frame(self, m: Module) -> Frame:
        frame = super()._frame(m)
        waited = Signal()
        m.d.sync += waited.eq(~frame.advance)
        with m.If(frame.advance & waited & frame.valids[1]):
            m.d.sync += frame.valids[1].eq(0)
        return frame


class Doubled(Nmpu):
    """The last word of a vector leaves twice where no other follows."""

    def _frame(self, m: Module) -> Frame:
        frame = super()._frame(m)
        again, twice = Signal(), Signal()
        leaves = self.o.valid & (frame.words[-1] == self.config.columns - 1) & ~frame.valids[-2]
        m.d.comb += twice.eq(leaves & frame.advance & ~again)
        with m.If(frame.advance):
            m.d.sync += again.eq(twice)
        with m.If(twice):
            m.d.sync += self.o.valid.eq(1)
        return frame


class Swapped(Nmpu):
    """A word that waits at the input overtakes the one in the first register."""

    def _frame(self, m: Module) -> Frame:
        frame = super()._frame(m)
        entry, payload = frame.entry(), self.i.payload.as_value()
        overtaken, late = Signal.like(entry), Signal()
        waits = ~frame.advance & self.i.valid & frame.valids[1] & ~late
        with m.If(waits):
            m.d.sync += [entry.eq(payload), overtaken.eq(entry), late.eq(1)]
        with m.Elif(frame.advance):
            m.d.sync += [entry.eq(Mux(late, overtaken, payload)), late.eq(0)]
        frame.entry = lambda: entry  # type: ignore[method-assign]  # the register that is there already
        return frame


class Mixed(Nmpu):
    """The offset is read for the word behind."""

    def _frame(self, m: Module) -> Frame:
        frame = super()._frame(m)
        store = frame.store
        late = self.schedule.reader("offset") - 1
        frame.store = lambda fields, readers: store(  # type: ignore[method-assign]  # with one step that is wrong
            fields, readers | {"offset": late}
        )
        return frame


class Stuck(Nmpu):
    """The word counter of a vector does not return to 0."""

    def _frame(self, m: Module) -> Frame:
        frame = super()._frame(m)
        with m.If(frame.advance & self.i.valid & (frame.words[0] == self.config.columns - 1)):
            m.d.sync += frame.words[0].eq(self.config.columns - 1)
        return frame


PLANTED: tuple[type[Nmpu], ...] = (Dropped, Doubled, Swapped, Mixed, Stuck)
"""The faults."""


def refutations() -> list[Outcome]:
    """Try to prove the control of every faulty unit; a verdict other than REFUTED is a failure of the proof itself."""
    outcomes = []
    for kind in PLANTED:
        outcome = prove_control(SMALL, text=coloured(SMALL, kind))
        told = " ".join((kind.__doc__ or "").split()).rstrip(".")
        outcomes.append(dataclasses.replace(outcome, name=f"control: {told[0].lower()}{told[1:]}"))
    return outcomes
