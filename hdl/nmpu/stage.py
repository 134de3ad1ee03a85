"""What all stages of the unit have in common."""

import re
from typing import Any

from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.carry_save import multiply_add
from hdl.fixed import Number, shape
from hdl.nmpu.datapath import Datapath

FLAG = Range(0, 1)
"""One bit."""


class Stage:
    """One combinational step of a lane's arithmetic; `inputs` and `outputs` give the range of every number.

    A stage has no clock, no state and no back pressure; a word passes each cycle. `latency` is the number of registers
    that the unit puts behind the stage: the cycles it costs. The unit places stages lane by lane in one module, since
    simulators follow few wide registers faster than many small modules; `component()` is the stage alone.
    """

    latency: int = 0
    beside: bool = False
    """Whether it works beside other stages, in front of one that takes what it makes: its registers cost no cycle."""
    multiply_add = staticmethod(multiply_add)
    """What makes products as two rows; the proofs put a box in its place."""

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.path = Datapath(config)

    @property
    def inputs(self) -> dict[str, Range]:
        """Return the inputs that exist in this configuration."""
        raise NotImplementedError

    @property
    def outputs(self) -> dict[str, Range]:
        """Return the outputs that exist in this configuration."""
        raise NotImplementedError

    def compute(self, m: Module, name: str, **inputs: Number) -> dict[str, Number]:
        """Return the outputs; names of wires begin with `name`."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """Return the name of the stage in the hardware: `batch_norm_add`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def place(self, m: Module, lane: str, **values: Any) -> dict[str, Any]:
        """Place the stage for one lane: values of the inputs it has (others are left aside), values of its outputs."""
        numbers, name = {}, f"{self.label}{lane}"
        for each, of in self.inputs.items():
            value = values[each]
            signed = shape(of).signed and not Shape.cast(value.shape()).signed
            numbers[each] = Number(value.as_signed() if signed else value, of)
        outputs = self.compute(m, name, **numbers)
        return {n: Number(outputs[n].value, of).named(m, f"{name}_{n}").value for n, of in self.outputs.items()}

    def component(self) -> "Alone":
        """Return the stage as a component of its own: one lane, one port a number."""
        return Alone(self)


class Alone(wiring.Component):
    """A stage as a component: the ports are its inputs and outputs, for one lane. Combinational."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        ports = {name: In(shape(of)) for name, of in stage.inputs.items()}
        super().__init__(ports | {name: Out(shape(of)) for name, of in stage.outputs.items()})

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        outputs = self.stage.place(m, "", **{name: getattr(self, name) for name in self.stage.inputs})
        m.d.comb += [getattr(self, name).eq(value) for name, value in outputs.items()]
        return m
