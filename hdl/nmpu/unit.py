"""The near-memory processing unit: streams, parameter store, layer registers, flags."""

from typing import Any

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.errors import UserError
from golden_model.nmpu_config import NmpuConfig
from hdl.frame import Frame
from hdl.nmpu import lane
from hdl.nmpu.ports import layer_fields, members, parameter_fields
from hdl.nmpu.schedule import Schedule

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

    def _frame(self, m: Module) -> Frame:
        """Return what surrounds the lanes: control, layer registers, store, flags."""
        return Frame(m, self, units=self.config.units, columns=self.config.columns, steps=self.latency)

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        config = self.config
        frame = self._frame(m)
        layer = {"last": Const(1, 1), "receive": Const(0, 1)} | frame.layer(layer_fields(config))
        fields = parameter_fields(config)
        rows = frame.store(fields, {name: self.schedule.reader(name) for name in fields})
        lane.put_parameters(m, frame.line, self.schedule, rows, layer)
        lane.put_inputs(m, frame.line, config, frame.entry(), layer)
        frame.exit(*lane.process(frame.line, self.schedule, layer))
        return m


def create(config: NmpuConfig, *, host: bool = False) -> Nmpu:
    """Return the unit, on request with a host's ports; refuses (UserError) what is too large for one block."""
    if config.units > MAX_UNITS or config.units * config.columns > MAX_COLUMNS:
        raise UserError(
            f"units = {config.units}, columns = {config.columns}: one unit has at most {MAX_UNITS} lanes and "
            f"{MAX_COLUMNS} columns in all; build several side by side"
        )
    return Nmpu(config, host=host)
