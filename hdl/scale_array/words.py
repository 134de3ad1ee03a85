"""Where words lie: the wires between columns, the lanes of a slot, and rows whose words wrap at the array's edge.

A slot works on row r in pass q: lane m is column r * words + passes * m + q, and its sum begins at group passes * m + q
of the row of sums, a group being the columns of one scale word. Groups beyond the edge wrap to column 0. The chain of
carries goes on beyond the edge instead, for `spare` groups, so that there is no ring.
"""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal

from golden_model.scale_array.config import ScaleArrayConfig


class Words:
    """Builds these wires into a module. `number` is the signal that carries the pass, `row` the row."""

    def __init__(self, m: Module, config: ScaleArrayConfig) -> None:
        self.m, self.config = m, config
        self.spare = config.passes - 1

    def by_pass(self, name: str, number: Any, width: int, choice: Callable[[int], Any]) -> Signal:
        """Return what `choice` gives for the pass at hand.

        Two-way multiplexers: of a wider one Yosys makes a Verilog function, by a name that Icarus 11 does not take.
        """
        chosen, value = Signal(width, name=name), choice(0)
        for q in range(1, self.config.passes):
            value = Mux(number == q, choice(q), value)
        self.m.d.comb += chosen.eq(value)
        return chosen

    def lanes(self, name: str, columns: Any, row: Any, number: Any) -> Signal:
        """Return the bits, one a lane, of the columns that a slot works on; `columns` has one bit a column."""
        count, own = self.config.words, Signal(self.config.words, name=f"{name}_row")
        chosen = columns[:count]
        for r in range(1, self.config.scale_bits):
            chosen = Mux(row == r, columns[r * count : (r + 1) * count], chosen)
        self.m.d.comb += own.eq(chosen)
        return self.by_pass(name, number, self.config.lanes, lambda q: own[q :: self.config.passes])

    def columns(self, name: str, lanes: Any, row: Any, number: Any) -> Signal:
        """Return one bit a column: that of its lane, 0 where the slot does not work on it."""
        passes, words = self.config.passes, self.config.words

        def spread(q: int) -> Any:
            return Cat(lanes[w // passes] if w % passes == q else 0 for w in range(words))

        own = self.by_pass(f"{name}_row", number, words, spread)
        found = Signal(self.config.columns, name=name)
        here = [(row == r).replicate(words) for r in range(self.config.scale_bits)]
        self.m.d.comb += found.eq(Cat(own & each for each in here))
        return found

    def groups(self, name: str, lanes: Any, number: Any, *, lowest: bool = False) -> Signal:
        """Return one bit a group: that of the lane whose sum lies there; with `lowest`, 0 but where a sum begins."""
        passes, words = self.config.passes, self.config.words

        def owners(q: int) -> Any:
            places = [divmod((g - q) % words, passes) for g in range(words)]
            return Cat(0 if lowest and part else lanes[lane] for lane, part in places)

        return self.by_pass(name, number, words, owners)

    def unrolled(self, name: str, lanes: Any, number: Any) -> Signal:
        """Return one bit a group and spare group: that of the lane whose chain runs there, 0 where none does."""
        passes, count = self.config.passes, self.config.lanes

        def owners(q: int) -> Any:
            found = [(g - q) // passes for g in range(self.config.words + self.spare)]
            return Cat(lanes[lane] if 0 <= lane < count else 0 for lane in found)

        return self.by_pass(name, number, self.config.words + self.spare, owners)

    def starts(self, number: Any) -> Signal:
        """Return where a sum begins, one bit a group and spare group."""
        passes, groups = self.config.passes, self.config.words + self.spare
        return self.by_pass("starts", number, groups, lambda q: Cat(int(g % passes == q) for g in range(groups)))
