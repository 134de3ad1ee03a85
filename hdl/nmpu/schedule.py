"""Which step of the pipeline does what: latency as data."""

from dataclasses import dataclass

from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu.accumulate import Accumulate, Compress, Gather, Limit
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import (
    AddResidual,
    BatchNormAdd,
    BatchNormMultiply,
    Relu,
    Requantise,
    ResidualMultiply,
    ResidualShift,
)
from hdl.nmpu.stage import Stage
from hdl.store import Store

READERS: dict[str, type[Stage]] = {
    "offset": Affine,
    "shift": Affine,
    "bn_scale": BatchNormMultiply,
    "bn_negate": BatchNormAdd,
    "bn_offset": BatchNormAdd,
    "bn_shift": BatchNormAdd,
    "residual_scale": ResidualMultiply,
    "residual_shift": ResidualShift,
}
"""The stage that uses a parameter field; the others go to Multiply, the offset to the adder that takes it."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stages of one configuration in the order of the data; each brings its latency."""

    config: NmpuConfig

    @property
    def stages(self) -> list[Stage]:
        """Return the stages that exist."""
        config, path = self.config, Datapath(self.config)
        exists: list[tuple[type[Stage], bool]] = [
            (Multiply, True),
            (Gather, path.gathers),
            (Affine, not path.gathers),
            (Limit, path.limits),
            (Compress, path.sums and not path.gathers),
            (Accumulate, path.sums and not path.gathers),
            (BatchNormMultiply, config.batch_norm),
            (BatchNormAdd, config.batch_norm),
            (ResidualMultiply, config.residual),
            (ResidualShift, config.residual),
            (Relu, config.relu and config.residual and not path.limits),
            (AddResidual, config.residual),
            (Requantise, True),
        ]
        return [stage(config) for stage, there in exists if there]

    @property
    def table(self) -> list[tuple[str, int, int]]:
        """Return name, step and latency of the store and every stage, 0 where it works beside others."""
        cycles = [(stage, 0 if stage.beside else stage.latency) for stage in self.stages]
        placed = [(type(stage).__name__, self.step(type(stage)), latency) for stage, latency in cycles]
        return [(Store.__name__, 0, Store.latency), *placed]

    @property
    def latency(self) -> int:
        """Return the cycles from an accepted word to its result at the output, without back pressure."""
        return Store.latency + sum(stage.latency for stage in self.stages if not stage.beside)

    def step(self, stage: type[Stage]) -> int:
        """Return the step in which a stage computes; the store is read in step 0.

        The residual is multiplied and shifted in the steps in front of its adder, beside whatever works there.
        """
        index, stages = Store.latency, self.stages
        for number, before in enumerate(stages):
            if isinstance(before, stage):
                return index - sum(each.latency for each in stages[number:] if before.beside and each.beside)
            index += 0 if before.beside else before.latency
        raise KeyError(stage)

    def reader(self, field: str) -> int:
        """Return the step that uses a parameter field; the store reads it one step earlier."""
        path, reader = Datapath(self.config), READERS.get(field, Multiply)
        if field == "offset" and (path.fused or path.gathers):
            reader = Gather if path.gathers and not path.carry_save else Multiply
        return self.step(reader)
