"""Which step of the pipeline does what: latency as data."""

from dataclasses import dataclass

from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu.accumulate import Accumulate, Compress
from hdl.nmpu.affine import Affine, Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import AddResidual, BatchNormAdd, BatchNormMultiply, Relu, Requantise, ResidualMultiply
from hdl.nmpu.store import Store


@dataclass(frozen=True, slots=True)
class Schedule:
    """The stages of one configuration in order; each brings its latency."""

    config: NmpuConfig

    @property
    def stages(self) -> list[type]:
        """Return the stages that exist, in the order of the data."""
        config = self.config
        exists = {
            Store: True,
            Multiply: True,
            Affine: True,
            Compress: Datapath(config).sums,
            Accumulate: Datapath(config).sums,
            BatchNormMultiply: config.batch_norm,
            BatchNormAdd: config.batch_norm,
            Relu: config.relu and config.residual,
            ResidualMultiply: config.residual,
            AddResidual: config.residual,
            Requantise: True,
        }
        return [stage for stage, there in exists.items() if there]

    @property
    def latency(self) -> int:
        """Return the cycles from an accepted word to its result at the output, without back pressure."""
        return self.step(Requantise) + Requantise.latency

    def step(self, stage: type) -> int:
        """Return the step (0: the store) in which a stage computes."""
        return sum(before.latency for before in self.stages[: self.stages.index(stage)])

    def reader(self, field: str) -> int:
        """Return the step that uses a parameter field; the store reads it one step earlier."""
        stages = {
            "offset": Affine,
            "shift": Affine,
            "bn_scale": BatchNormMultiply,
            "bn_negate": BatchNormMultiply,
            "bn_offset": BatchNormAdd,
            "bn_shift": BatchNormAdd,
            "residual_shift": AddResidual,
        }
        if field == "residual_scale":
            return self.step(AddResidual) - 1
        return self.step(stages.get(field, Multiply))
