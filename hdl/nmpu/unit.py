"""The near-memory processing unit: streams, parameter store, layer registers, flags."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from hdl.frame import Frame
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import Requantise
from hdl.nmpu.ports import input_fields, layer_fields, members, parameter_fields
from hdl.nmpu.schedule import Schedule
from hdl.pipeline import Lanes, Pipeline, split
from hdl.store import Store

MAX_UNITS = 4096
MAX_COLUMNS = 65536
"""What still elaborates in minutes, and what nobody builds as one block."""


class Nmpu(wiring.Component):
    """The unit: `units` lanes side by side, `columns` columns a lane in time; bit for bit `golden_model.nmpu.nmpu`.

    Parameters: the configuration, the golden model's own object.

    Members:

    * `i`, `o`: streams, one word a transfer; `i` takes counts or codes, `o` gives codes or partial sums.
    * `write`: parameters, one column a cycle, only the fields whose mask bit is 1.
    * `layer`: the layer registers, all at once.
    * `flags`: one sticky bit a column, set as the word that saturated enters the output register; a parameter write
      clears its column's bit (and wins over a word that arrives), a layer write all of them.
    * `idle`: 1 where no word is under way and the next one is word 0.

    Word t of a vector is the t-th accepted word, modulo `columns`; its lane u is column t * units + u. The latency is
    `latency` cycles, the sum of the stages' (`Schedule`), the throughput one word a cycle. Back pressure is honoured:
    all registers of the datapath hold where the output is valid and not ready, and `i.ready` falls then only. It is a
    combinational path from `o.ready` to `i.ready`.

    Parameters and layer registers may be written in cycles in which `idle` is 1 and no word is accepted: every field is
    read one step before the stage that uses it. Columns that do not exist are ignored; a shift beyond its largest value
    is not defined. `rst` clears valid bits, the word counter and the flags, and neither datapath nor parameters.
    """

    i: Interface
    o: Interface
    write: Any
    layer: Any
    flags: Signal
    idle: Signal

    def __init__(self, config: NmpuConfig, *, host: bool = False) -> None:
        self.config = config
        self.schedule = Schedule(config)
        super().__init__(members(config, host=host))

    @property
    def latency(self) -> int:
        """Return the cycles from an accepted word to its result, without back pressure."""
        return self.schedule.latency

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config = self.config
        frame = Frame(m, self, units=config.units, columns=config.columns, steps=self.schedule.latency)
        layer = {"last": Const(1, 1), "receive": Const(0, 1)} | frame.layer(layer_fields(config))
        self._parameters(m, frame, layer)
        self._entry(m, frame, layer)
        frame.exit(*self._datapath(frame.line, layer))
        return m

    def _parameters(self, m: Module, frame: Frame, layer: dict[str, Any]) -> None:
        """Place the store and put every field into the pipeline."""
        fields = parameter_fields(self.config)
        readers = {name: self.schedule.reader(name) for name in fields}
        for name, row in frame.store(fields, readers).items():
            if name.startswith("bn_") and self.config.partial_sum:
                # a sum that is not the last passes batch norm as sum * 1
                width = fields[name].width
                one = Cat(Const(1, width) for _ in range(self.config.units)) if name == "bn_scale" else 0
                gated = Signal.like(row, name=name)
                m.d.comb += gated.eq(Mux(layer["last"], row, one))
                row = gated
            frame.line.put(name, split(row, fields[name], self.config.units), readers[name])

    def _entry(self, m: Module, frame: Frame, layer: dict[str, Any]) -> None:
        """Place the input register and put its fields and the layer's into the pipeline."""
        line, entry = frame.line, frame.entry()
        fields, low = input_fields(self.config), 0
        for name, field in fields.items():
            stride = sum(each.width for each in fields.values())
            lanes = split(entry, field, self.config.units, low, stride)
            if name == "received":
                lanes = [Mux(layer["receive"], lane, 0) for lane in lanes]
            line.put(name, lanes, Store.latency)
            low += field.width

        def enable(name: str, value: Any) -> None:
            wire = Signal(name=name)
            m.d.comb += wire.eq(value)
            line.put(name, wire)

        last = layer["last"]
        if Datapath(self.config).chooses:
            enable("rounded", layer["receive"] | ~last)
        for name, source in (("relu_before", "relu_before"), ("relu_after", "relu_after"), ("add", "add_residual")):
            if source in layer:
                enable(name, layer[source] & last)
        if "shift" in layer:
            line.put("layer_shift", layer["shift"])

    def _datapath(self, line: Pipeline, layer: dict[str, Any]) -> tuple[Lanes, Lanes]:
        """Place every stage; return each lane's output, and whether it saturated."""
        config, path, last = self.config, Datapath(self.config), layer["last"]
        end = self.schedule.latency - Requantise.latency
        for stage in self.schedule.stages:
            line.place(stage, self.schedule.step(type(stage)), registered=not isinstance(stage, Requantise))
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


def create(config: NmpuConfig, *, host: bool = False) -> Nmpu:
    """Return the unit, on request with a host's ports; refuses (UserError) what is too large for one block."""
    if config.units > MAX_UNITS or config.units * config.columns > MAX_COLUMNS:
        raise UserError(
            f"units = {config.units}, columns = {config.columns}: one unit has at most {MAX_UNITS} lanes and "
            f"{MAX_COLUMNS} columns in all; build several side by side"
        )
    return Nmpu(config, host=host)
