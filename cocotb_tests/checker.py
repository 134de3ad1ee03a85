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

from cocotb_tests.contract import Contract, Mask, Stimulus
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
    """The cycle in which its input was accepted; of the n-th result of a vector, n - 1 cycles later."""


class Checker:
    """Holds the golden state: parameters stored, words in flight, flags between their earliest and latest cycle."""

    def __init__(self, contract: Contract, config: Any) -> None:
        self.contract, self.config = contract, config
        self.ports = contract.ports(config)
        self.bins: Counter[str] = Counter()
        self.words = 0
        """Words delivered and found right."""
        names = self.ports.parameters.names
        self.stored: dict[str, Integers] = {name: np.zeros(self.ports.entries, np.int64) for name in names}
        """The parameters that the unit must hold now."""
        self.layer: Mapping[str, int] = {}
        """The layer registers that it must hold now."""
        self._flight: deque[Expected] = deque()
        self._coming: list[tuple[str, int]] = []
        self._next = 0
        self._position = 0
        self._certain = 0
        self._possible = 0
        self._gathered = 0
        self._totals: Counter[str] = Counter()

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
        """Return what the words of a stimulus must become, and the flags that each sets, lane 0 in bit 0.

        In a unit that collects, a vector's last word becomes all results, separated by spaces, and the others nothing.
        """
        answer = self.contract.answer(self.config, stimulus)
        collected = self.ports.collected
        if collected is not None:
            results = {name: answer.fields[name].reshape(-1, collected.units) for name in self.ports.output.names}
            text = self.ports.output.text(results)
            groups = [" ".join(text[at : at + collected.words]) for at in range(0, len(text), collected.words)]
            texts = [part for group in groups for part in [*[""] * (self.ports.columns - 1), group]]
            return list(zip(texts, _masks(answer.flagged, self.ports.units), strict=True))
        fields = {name: self.ports.lanes(answer.fields[name]) for name in self.ports.output.names}
        return list(zip(self.ports.output.text(fields), _masks(answer.flagged, self.ports.units), strict=True))

    def expect(self, expectations: list[tuple[str, int]], totals: Mapping[str, int] | None = None) -> None:
        """Begin a batch; `totals` is what the activity counters must have gained at its end."""
        if self._flight or self._position:
            raise RuntimeError("a batch begins while words of another are in the unit")
        self._coming, self._next = expectations, 0
        self._totals.update(totals or {})

    def accept(self, cycle: int) -> None:
        """Note that the unit took the next word."""
        digits, mask = self._coming[self._next]
        self._next += 1
        collected = self.ports.collected
        if collected is None:
            mask <<= self._position * self.ports.units
        self._position = (self._position + 1) % self.ports.columns
        self._possible |= mask
        if collected is None:
            self._flight.append(Expected(digits, mask, cycle))
            return
        self._gathered |= mask
        results = digits.split()
        for number, each in enumerate(results, 1):
            flags = self._gathered if number == len(results) else 0
            self._flight.append(Expected(each, flags, cycle + number - 1))
        if results:
            self._gathered = 0

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

    def totals(self, digits: str) -> None:
        """Check the activity counters while nothing is in flight."""
        if self.ports.collected is None:
            return
        fields = self.ports.collected.totals
        expected = {field.name: self._totals[field.name] % (1 << field.bits) for field in fields.fields}
        found = fields.unpack(digits)[0]
        if found != expected:
            kind = "activity" if set(digits) <= {"0", "1"} else UNKNOWN
            raise Mismatch(kind, f"the counters are {found}, the golden model says {expected}")

    def write_column(self, column: int, fields: dict[str, int]) -> None:
        """Note a write to an entry of the store; it clears its flags whatever the mask."""
        for name, code in fields.items():
            self.stored[name][column] = code
        own = self.ports.cleared(column)
        others = self._certain & ~own
        self.bins["flag.cleared_by_write"] += self._certain & own != 0
        self.bins["flag.kept_by_other_write"] += others != 0
        self._certain = self._possible = others

    def write_layer(self, layer: Mapping[str, int]) -> None:
        """Note a write to the layer registers; it clears every flag and counter."""
        self.bins["flag.cleared_by_layer"] += self._certain != 0
        self._totals.clear()
        self.layer = layer
        self._certain = self._possible = 0

    def reset(self) -> None:
        """Note a reset: words in flight are lost, flags and word counter are cleared, parameters stay."""
        self.bins["reset.words_in_flight"] += bool(self._flight)
        self.bins["reset.mid_vector"] += self.mid_vector
        self.bins["reset.flags_up"] += self._certain != 0
        self._flight.clear()
        self._totals.clear()
        self._position = self._gathered = 0
        self._certain = self._possible = 0

    def cover(self, stimulus: Stimulus) -> None:
        """Count the bins of a stimulus whose words all came out right."""
        self.bins.update(self.contract.count(self.config, stimulus))


def _masks(flagged: Mask, units: int) -> list[int]:
    """Return the flags that each word sets, lane 0 in bit 0."""
    packed = np.packbits(flagged.reshape(-1, units), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
