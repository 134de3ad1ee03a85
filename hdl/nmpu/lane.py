"""One column's datapath, from the input register to the output register; the unit places one for each of its lanes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden_model.nmpu_config import NmpuConfig
from hdl.frame import layer_register
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import Requantise
from hdl.nmpu.ports import input_fields, layer_fields, output_fields, parameter_fields
from hdl.nmpu.schedule import Schedule
from hdl.pipeline import Lanes, Pipeline, split
from hdl.store import Store

_ENABLES = {"relu_before": "relu_before", "relu_after": "relu_after", "add": "add_residual"}
"""Enables of stages, and the layer register that each is where the tile is the column's last."""


def _enabled(config: NmpuConfig) -> dict[str, str]:
    """Return the enables that exist, each with its layer register."""
    fields = layer_fields(config)
    return {name: source for name, source in _ENABLES.items() if source in fields}


def _enable(name: str) -> str:
    """Return the name of an enable in the hardware."""
    return f"{name}_enable"


def standing(config: NmpuConfig) -> tuple[str, ...]:
    """Return the registers that stand still before a word needs them: the layer's, and the enables made of them alone.

    A word that is accepted with the very edge that writes the layer still finds them right: the first step (1) uses the
    layer registers alone, and the enables, a cycle later, are for later steps. No word is accepted before the edge
    after that one, so that there is a cycle to spare.
    """
    enables = (*(["rounded"] if Datapath(config).chooses else []), *_enabled(config))
    return (*map(layer_register, layer_fields(config)), *map(_enable, enables))


class Lane(wiring.Component):
    """The unit without parameter store, control and flags, for one lane: what a column costs in arithmetic.

    Parameters: the configuration.

    Members: `enable` (in: all registers move on), one input a field of the input stream, of the parameters (each as the
    store's read register gives it, one step before the stage that uses it has computed) and of the layer registers, and
    one output a field of the output stream, with `saturated` beside the word that enters the output register.

    Latency: `latency` cycles from the inputs of the stream to the outputs; one word a cycle; `enable` is back pressure.
    """

    enable: Signal

    def __init__(self, config: NmpuConfig) -> None:
        self.config = config
        self.schedule = Schedule(config)
        fields = input_fields(config) | parameter_fields(config) | layer_fields(config)
        ports = {"enable": In(1)} | {name: In(field) for name, field in fields.items()}
        ports |= {name: Out(field) for name, field in output_fields(config).items()} | {"saturated": Out(1)}
        super().__init__(ports)

    @property
    def latency(self) -> int:
        """Return the cycles from an input to its result."""
        return self.schedule.latency

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        line = Pipeline(m, self.enable, 1)
        layer = {"last": Const(1, 1), "receive": Const(0, 1)}
        layer |= {name: getattr(self, name) for name in layer_fields(self.config)}
        rows = {name: getattr(self, name) for name in parameter_fields(self.config)}
        put_parameters(m, line, self.schedule, rows, layer)
        fields = input_fields(self.config)
        entry = Signal(sum(field.width for field in fields.values()), name="entry", reset_less=True)
        result = Signal(sum(field.width for field in output_fields(self.config).values()), reset_less=True)
        put_inputs(m, line, self.config, entry, layer)
        lanes, saturated = process(line, self.schedule, layer)
        with m.If(self.enable):
            m.d.sync += [entry.eq(Cat(getattr(self, name) for name in fields)), result.eq(lanes[0])]
        low = 0
        for name, field in output_fields(self.config).items():
            m.d.comb += getattr(self, name).eq(result[low : low + field.width])
            low += field.width
        m.d.comb += self.saturated.eq(saturated[0])
        return m


def put_parameters(m: Module, line: Pipeline, schedule: Schedule, rows: dict[str, Any], layer: dict[str, Any]) -> None:
    """Put every field of the parameters into the pipeline, `rows` as the store's read registers hold them."""
    fields = parameter_fields(schedule.config)
    for name, row in rows.items():
        if name.startswith("bn_") and schedule.config.partial_sum:
            # a sum that is not the last passes batch norm as sum * 1
            width = fields[name].width
            one = Cat(Const(1, width) for _ in range(line.units)) if name == "bn_scale" else 0
            gated = Signal(len(row), name=f"{name}_used")
            m.d.comb += gated.eq(Mux(layer["last"], row, one))
            row = gated
        line.put(name, split(row, fields[name], line.units), schedule.reader(name))


def put_inputs(m: Module, line: Pipeline, config: NmpuConfig, entry: Any, layer: dict[str, Any]) -> None:
    """Put the fields of the input register and the layer's into the pipeline."""
    fields, low = input_fields(config), 0
    for name, field in fields.items():
        stride = sum(each.width for each in fields.values())
        lanes = split(entry, field, line.units, low, stride)
        if name == "received":
            lanes = [Mux(layer["receive"], lane, 0) for lane in lanes]
        line.put(name, lanes, Store.latency)
        low += field.width

    def enable(name: str, value: Any) -> None:
        wire = Signal(name=_enable(name), reset_less=True)
        # a register of its own where gates decide it: layer registers stand still long before a word needs them
        if config.partial_sum:
            m.d.sync += wire.eq(value)
        else:
            m.d.comb += wire.eq(value)
        line.put(name, wire)

    last = layer["last"]
    if Datapath(config).chooses:
        enable("rounded", layer["receive"] | ~last)
    for name, source in _enabled(config).items():
        enable(name, layer[source] & last)
    if "shift" in layer:
        line.put("layer_shift", layer["shift"])


def process(line: Pipeline, schedule: Schedule, layer: dict[str, Any]) -> tuple[Lanes, Lanes]:
    """Place every stage; return each lane's output, and whether it saturated."""
    config, path, last = schedule.config, Datapath(schedule.config), layer["last"]
    end = schedule.latency - Requantise.latency
    for stage in schedule.stages:
        line.place(stage, schedule.step(type(stage)), registered=not isinstance(stage, Requantise))
    lanes: Lanes = line.get("code", end)
    saturated: Lanes = line.get("saturated", end)
    if config.partial_sum:
        low = path.sum_position + path.final_fraction - path.total_fraction
        sums = [total[low : low + config.sum_range.signed_bits] for total in line.get("total", end)]
        pairs = zip(lanes, sums, strict=True)
        lanes = [Cat(Mux(last, code, 0), Mux(last, 0, total)) for code, total in pairs]
        flags = zip(saturated, line.get("sum_saturated", end), strict=True)
        saturated = [(code & last) | total for code, total in flags]
    return lanes, saturated
