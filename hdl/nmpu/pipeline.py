"""Lanes side by side: stages placed lane by lane, and one wide register for each number between them."""

from typing import Any, TypeAlias

from amaranth.hdl import Cat, Module, Mux, Shape, Signal

from hdl.nmpu.stage import Stage

Lanes: TypeAlias = list[Any]
"""One value a lane, lane 0 first."""


def split(value: Any, shape: Any, units: int) -> Lanes:
    """Return the lanes of a wide value, each of a shape; lane 0 is in the lowest bits."""
    shape = Shape.cast(shape)
    parts = [value[u * shape.width : (u + 1) * shape.width] for u in range(units)]
    return [part.as_signed() for part in parts] if shape.signed else parts


class Pipeline:
    """Builds a datapath into a module: registers move on where `advance` is 1 and are never reset."""

    def __init__(self, m: Module, advance: Any, units: int) -> None:
        self.m = m
        self.advance = advance
        self.units = units

    def register(self, name: str, lanes: Lanes, only_if: Any = None) -> Lanes:
        """Return the lanes one cycle later; 0 where `only_if` is 0."""
        kept = Signal(sum(len(lane) for lane in lanes), name=name, reset_less=True)
        with self.m.If(self.advance):
            self.m.d.sync += kept.eq(Cat(lanes if only_if is None else (Mux(only_if, lane, 0) for lane in lanes)))
        return split(kept, lanes[0].shape(), self.units)

    def place(self, stage: Stage, **inputs: Any) -> dict[str, Lanes]:
        """Place a stage for every lane; an input is one value a lane, or one value for all."""
        placed = []
        for u in range(self.units):
            lane = {name: value[u] if isinstance(value, list) else value for name, value in inputs.items()}
            placed.append(stage.place(self.m, f"_{u}", **lane))
        return {name: [lane[name] for lane in placed] for name in stage.outputs}
