"""The judgement of the bench: what must come out, what the flags and `idle` must show, and which bins were hit.

Expected values are the golden model's, compared as the simulator prints them, digit by digit: tolerance 0, and an X is
a mismatch like any other.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cocotb_tests.contract import Contract, Stimulus
from cocotb_tests.ports import Integers

UNKNOWN = "unknown"
"""The kind of a mismatch that is an X or Z: hardware has none, so this alone does not tell a fault from its equal."""


class Mismatch(Exception):
    """The unit differs from its specification. `kind` is the check that saw it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Expected:
    """A word that must come out."""

    digits: str
    """The output lanes, binary, lane 0 last."""
    flags: int
    """The flags that it sets, bit c is column c."""
    cycle: int
    """The cycle in which its input was accepted."""


class Checker:
    """Holds the golden state: parameters stored, words in flight, flags between their earliest and latest cycle."""

    def __init__(self, contract: Contract, config: Any) -> None:
        self.contract, self.config = contract, config
        self.ports = contract.ports(config)
        self.bins: Counter[str] = Counter()
        self.words = 0
        """Words delivered and found right."""
        names = self.ports.parameters.names
        self.stored: dict[str, Integers] = {name: np.zeros(self.ports.count, np.int64) for name in names}
        """The parameters that the unit must hold now."""
        self.layer: Mapping[str, int] = {}
        """The layer registers that it must hold now."""
        self._flight: deque[Expected] = deque()
        self._coming: list[tuple[str, int]] = []
        self._next = 0
        self._position = 0
        self._certain = 0
        self._possible = 0

    @property
    def columns(self) -> dict[str, Integers]:
        """Return a copy of the stored parameters."""
        return {name: codes.copy() for name, codes in self.stored.items()}

    @property
    def flags(self) -> int:
        """Return the flags that must be up."""
        return self._certain

    @property
    def in_flight(self) -> int:
        """Return how many words are between the two streams."""
        return len(self._flight)

    @property
    def mid_vector(self) -> bool:
        """Return whether a vector has begun and not ended at the input."""
        return self._position != 0

    def expectations(self, stimulus: Stimulus) -> list[tuple[str, int]]:
        """Return what the words of a stimulus must become, and the flags that each sets, lane 0 in bit 0."""
        answer = self.contract.answer(self.config, stimulus)
        fields = {name: self.ports.lanes(answer.fields[name]) for name in self.ports.output.names}
        packed = np.packbits(answer.flagged.reshape(-1, self.ports.units), axis=1, bitorder="little")
        masks = [int.from_bytes(row.tobytes(), "little") for row in packed]
        return list(zip(self.ports.output.text(fields), masks, strict=True))

    def expect(self, expectations: list[tuple[str, int]]) -> None:
        """Begin a batch."""
        if self._flight or self._position:
            raise RuntimeError("a batch begins while words of another are in the unit")
        self._coming, self._next = expectations, 0

    def accept(self, cycle: int) -> None:
        """Note that the unit took the next word."""
        digits, mask = self._coming[self._next]
        self._next += 1
        mask <<= self._position * self.ports.units
        self._position = (self._position + 1) % self.ports.columns
        self._possible |= mask
        self._flight.append(Expected(digits, mask, cycle))

    def compare(self, digits: str) -> None:
        """Check a word at the output port, taken or not, against the oldest word in flight."""
        if not self._flight:
            raise Mismatch("protocol", "valid is high and no word is in the unit")
        expected = self._flight[0].digits
        if digits != expected:
            got, want = self.ports.output.unpack(digits), self.ports.output.unpack(expected)
            lane = next(index for index, pair in enumerate(zip(got, want, strict=True)) if pair[0] != pair[1])
            raise Mismatch(
                "payload" if set(digits) <= {"0", "1"} else UNKNOWN,
                f"word {self.words}, lane {lane}: got {got[lane]}, the golden model says {want[lane]}",
            )

    def deliver(self) -> Expected:
        """Note that the word at the output port was taken."""
        word = self._flight.popleft()
        self._certain |= word.flags
        self.words += 1
        return word

    def state(self, flags: str, idle: str) -> None:
        """Check flags and `idle` against what this cycle allows: exact where nothing is in flight."""
        if idle != ("0" if self._flight or self._position else "1"):
            raise Mismatch(
                "idle", f"idle is {idle} with {len(self._flight)} words in flight, word {self._position} next"
            )
        try:
            raised = int(flags, 2)
        except ValueError:
            unknown = sum(digit not in "01" for digit in flags)
            raise Mismatch(UNKNOWN, f"{unknown} of {len(flags)} flags are X or Z") from None
        if raised & ~self._possible or self._certain & ~raised:
            raise Mismatch(
                "flags",
                f"flags are {raised:x}, must hold {self._certain:x} and nothing beyond {self._possible:x} (hex)",
            )

    def write_column(self, column: int, fields: dict[str, int]) -> None:
        """Note a write to a column; it clears the column's flag whatever the mask."""
        for name, code in fields.items():
            self.stored[name][column] = code
        others = self._certain & ~(1 << column)
        self.bins["flag.cleared_by_write"] += self._certain >> column & 1
        self.bins["flag.kept_by_other_write"] += others != 0
        self._certain = self._possible = others

    def write_layer(self, layer: Mapping[str, int]) -> None:
        """Note a write to the layer registers; it clears every flag."""
        self.bins["flag.cleared_by_layer"] += self._certain != 0
        self.layer = layer
        self._certain = self._possible = 0

    def reset(self) -> None:
        """Note a reset: words in flight are lost, flags and word counter are cleared, parameters stay."""
        self.bins["reset.words_in_flight"] += bool(self._flight)
        self.bins["reset.mid_vector"] += self.mid_vector
        self.bins["reset.flags_up"] += self._certain != 0
        self._flight.clear()
        self._position = 0
        self._certain = self._possible = 0

    def cover(self, stimulus: Stimulus) -> None:
        """Count the bins of a stimulus whose words all came out right."""
        self.bins.update(self.contract.count(self.config, stimulus))
