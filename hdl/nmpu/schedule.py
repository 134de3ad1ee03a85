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
    """The stages of one configuration in order, each with the cycles it costs."""

    config: NmpuConfig

    @property
    def stages(self) -> list[tuple[str, int]]:
        """Return name and latency of every stage that exists, in the order of the data."""
        config, path = self.config, Datapath(self.config)
        stages: list[tuple[str, int]] = [
            ("Store", Store.latency),
            ("Multiply", Multiply.latency),
            ("Affine", Affine.latency),
        ]
        if path.sums:
            stages += [("Compress", Compress.latency), ("Accumulate", Accumulate.latency)]
        if config.batch_norm:
            stages += [("BatchNormMultiply", BatchNormMultiply.latency), ("BatchNormAdd", BatchNormAdd.latency)]
        if config.relu and config.residual:
            stages.append(("Relu (before)", Relu.latency))
        if config.residual:
            stages += [("ResidualMultiply", ResidualMultiply.latency), ("AddResidual", AddResidual.latency)]
        if config.relu:
            stages.append(("Relu (after)", Relu.latency))
        stages.append(("Requantise", Requantise.latency))
        return stages

    @property
    def latency(self) -> int:
        """Return the cycles from an accepted word to its result at the output, without back pressure."""
        return sum(latency for _, latency in self.stages)

    def step(self, stage: str) -> int:
        """Return the index of the step (0: the store) in which a stage computes."""
        index = 0
        for name, latency in self.stages:
            if name == stage:
                return index
            index += latency
        raise KeyError(stage)

    @property
    def residual_wait(self) -> int:
        """Return the cycles that the residual operand waits for its multiplication, one step before the addition."""
        return self.step("AddResidual") - 2

    def field_step(self, field: str) -> int:
        """Return the step that uses a parameter field."""
        if field.startswith("residual"):
            return self.step("AddResidual") - (field == "residual_scale")
        if field.startswith("bn"):
            return self.step("BatchNormMultiply" if field in ("bn_scale", "bn_negate") else "BatchNormAdd")
        return self.step("Affine" if field in ("offset", "shift") else "Multiply")
