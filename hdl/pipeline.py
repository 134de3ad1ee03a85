"""Lanes side by side: stages placed lane by lane, and one wide register for each number between them."""

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from amaranth.hdl import Cat, Module, Shape, Signal

Lanes: TypeAlias = list[Any]
"""One value a lane, lane 0 first."""


def split(value: Any, shape: Any, units: int, low: int = 0, stride: int | None = None) -> Lanes:
    """Return the lanes of a wide value, each of a shape: lane u starts at bit low + u * stride (its own width)."""
    shape = Shape.cast(shape)
    ends = [low + u * (shape.width if stride is None else stride) for u in range(units)]
    parts = [value[end : end + shape.width] for end in ends]
    return [part.as_signed() for part in parts] if shape.signed else parts


class Step(Protocol):
    """One combinational step of a lane's arithmetic, as a pipeline takes it."""

    @property
    def label(self) -> str:
        """Return the name in the hardware."""

    @property
    def latency(self) -> int:
        """Return the registers behind the step: 0 or 1."""

    @property
    def inputs(self) -> Iterable[str]:
        """Return the names of the numbers it takes."""

    @property
    def outputs(self) -> Iterable[str]:
        """Return the names of the numbers it gives."""

    def place(self, m: Module, lane: str, **values: Any) -> dict[str, Any]:
        """Place the step for one lane: values of the inputs, values of the outputs."""


class Pipeline:
    """Builds a datapath into a module: values by name and step, delayed by registers where a later step wants them.

    Step n stands in front of the n-th register behind the accepted word. Registers move on where `advance` is 1 and are
    never reset. A value of all lanes is a list, a static one (a layer register) is the same at every step.
    """

    def __init__(self, m: Module, advance: Any, units: int) -> None:
        self.m = m
        self.advance = advance
        self.units = units
        self.values: dict[str, dict[int, Any]] = {}

    def put(self, name: str, value: Any, step: int = 0) -> None:
        """Take a value that exists at a step."""
        self.values[name] = {step: value}

    def get(self, name: str, step: int) -> Any:
        """Return a value at a step, behind as many registers as that takes."""
        versions = self.values[name]
        latest = max(versions)
        while latest < step and isinstance(versions[latest], list):
            versions[latest + 1] = self._register(f"{name}_{latest + 1}", versions[latest])
            latest += 1
        return versions[min(latest, step)]

    def place(self, stage: Step, step: int, *, registered: bool = True) -> None:
        """Place a stage for every lane at a step; its outputs take their names from then on."""
        inputs = {name: self.get(name, step) for name in stage.inputs}
        placed = []
        for u in range(self.units):
            lane = {name: value[u] if isinstance(value, list) else value for name, value in inputs.items()}
            placed.append(stage.place(self.m, f"_{u}", **lane))
        for name in stage.outputs:
            lanes, behind = [lane[name] for lane in placed], registered and stage.latency
            self.put(name, self._register(f"{stage.label}_{name}", lanes) if behind else lanes, step + int(behind))

    def _register(self, name: str, lanes: Lanes) -> Lanes:
        kept = Signal(sum(len(lane) for lane in lanes), name=name, reset_less=True)
        with self.m.If(self.advance):
            self.m.d.sync += kept.eq(Cat(lanes))
        return split(kept, lanes[0].shape(), self.units)
