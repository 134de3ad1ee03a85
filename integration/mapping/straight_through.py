"""A network on tiles as a torch module that learns: the chain's values forward, the plain network's slopes backward.

Every value of the chain (codes times their scale, to the bit) takes the place of the plain network's at the same point,
as v + (y - y) with the first part constant: the next layer reads what the tile made, and the gradient passes through as
if the tile were ideal (straight-through estimator; Bengio et al., 2013). Batch norm acts with its running statistics,
as the chain has it; its weight and bias learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx, nn

from integration.mapping.calibrated import Calibration
from integration.mapping.network import ConvertedNetwork, convert
from sim.digital import Digital, FloatUnit
from sim.tile import Tile


class _Substituting(fx.Interpreter):
    """Runs the traced network with given values in the place of its own."""

    def __init__(self, traced: fx.GraphModule, given: Mapping[str, Tensor]) -> None:
        super().__init__(traced)
        self.given = given

    def run_node(self, n: fx.Node) -> Any:
        """Run one node; exchange the value of its result, not its gradient."""
        result = super().run_node(n)
        if n.name not in self.given:
            return result
        value = self.given[n.name].reshape(result.shape).to(result.device)
        return value + (result - result.detach())


class StraightThrough(nn.Module):
    """`model` on tiles, differentiable in the parameters of `model`, which it shares.

    `model` is put into evaluation mode and kept there. Parameters as of `integration.mapping.network.convert`, for one
    `unit`. The tiles hold the weights of the last `program`: call it again every few steps, with the seed of another
    chip or the same. Kernels are not fused unless `compiled`: what they take as constants changes with every
    programming.
    """

    network: ConvertedNetwork

    def __init__(
        self,
        model: nn.Module,
        preset: str | Tile,
        images: Tensor,
        *,
        unit: Digital | None = None,
        seed: int = 0,
        calibration: Calibration | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.compiled = compiled
        self.model, self.unit = model, FloatUnit() if unit is None else unit
        self._chain = preset, images, Calibration() if calibration is None else calibration
        model.eval()  # before it is traced: what a function does in training would be written into the trace
        self.program(seed)
        self.traced = fx.symbolic_trace(model)
        self.seen = 0  # images so far: each has read noise of its own

    def train(self, mode: bool = True) -> StraightThrough:
        """Leave the model in evaluation mode: the chain knows running statistics only."""
        super().train(mode)
        self.model.eval()
        self.traced.eval()
        return self

    def program(self, seed: int = 0) -> None:
        """Program the model's weights of now onto the devices of `seed`, and calibrate."""
        preset, images, calibration = self._chain
        self.network = convert(self.model, preset, images, units=(self.unit,), seed=seed, calibration=calibration)

    def forward(self, images: Tensor) -> Tensor:
        """Return the chain's logits (images, classes) for normalised images, float32."""
        calibrated, given = self.network.calibrated, {}
        nodes, scales = calibrated.graph.nodes, calibrated.scales

        def keep(number: int, codes: Tensor) -> None:
            given[nodes[number]] = codes * scales[number]

        self.network.run(images.detach(), self.unit.name, first=self.seen, compiled=self.compiled, keep=keep)
        self.seen += len(images)
        logits: Tensor = _Substituting(self.traced, {name: value.clone() for name, value in given.items()}).run(images)
        return logits
