"""Which step of the pipeline does what: latency as data."""

from dataclasses import dataclass

from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input
from hdl.store import Store


@dataclass(frozen=True, slots=True)
class Schedule:
    """The operations of one configuration in the order of the data, each with its step and latency.

    Conversions of the second count, of the received sum and of the receive operand stand one step before their use,
    beside whatever works there: integers are narrower to delay than what they become.
    """

    config: Fp16Config

    @property
    def table(self) -> list[tuple[str, int, int]]:
        """Return name, step and latency of the store and every operation on the way."""
        cycles = self.config.multiply_add_cycles
        steps = [(Store.__name__, Store.latency), ("convert", 1), ("scale_p", cycles)]
        if self.config.input is Input.COUNTS:
            steps.append(("scale_n", cycles))
        steps.append(("affine", cycles))
        if self.config.int8:
            steps.append(("add_received", cycles))
        steps += [("add_residual", cycles), ("to_int", 1)]
        table, step = [], 0
        for name, latency in steps:
            table.append((name, step, latency))
            step += latency
        return table

    @property
    def latency(self) -> int:
        """Return the cycles from an accepted word to its result at the output, without back pressure."""
        return sum(latency for _, _, latency in self.table)

    def step(self, operation: str) -> int:
        """Return the step in which an operation begins."""
        return next(step for name, step, _ in self.table if name == operation)

    def reader(self, field: str) -> int:
        """Return the step that uses a parameter field; the store reads it one step earlier."""
        users = {"offset": "scale_p", "gamma": "affine", "beta": "affine", "receive": "add_residual"}
        return self.step(users.get(field, field))
