"""Which step of the pipeline does what: latency as data."""

from dataclasses import dataclass

from golden_model.scale_array.config import ScaleArrayConfig


@dataclass(frozen=True, slots=True)
class Schedule:
    """Read, compute, store: one row and pass a cycle."""

    config: ScaleArrayConfig

    @property
    def table(self) -> list[tuple[str, int, int]]:
        """Return name, step and latency of the three steps of one operation."""
        return [("Read", 0, 1), ("Compute", 1, 1), ("Store", 2, 1)]

    @property
    def latency(self) -> int:
        """Return the cycles from an array's last stream, accepted, to its first row of sums, without back pressure."""
        return sum(latency for _, _, latency in self.table)

    @property
    def interval(self) -> int:
        """Return the cycles from one accepted stream to the next: every row of sums is touched once."""
        return self.config.slots

    @property
    def cycles(self) -> int:
        """Return the cycles from an array's first stream, accepted, to its last row of sums: 34 for A and B."""
        return (self.config.streams - 1) * self.interval + self.latency + self.config.slots - 1
