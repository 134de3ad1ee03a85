"""The FP16 unit: four fused multiply-adds in a row, one data point a clock."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.errors import UserError
from golden_model.fixed import INT8
from golden_model.fp16_unit import Fp16Config
from golden_model.nmpu_config import Input
from hdl.fixed import shape
from hdl.float16 import add, from_int, multiply_add, relu, to_int
from hdl.fp16_unit.ports import input_fields, layer_fields, members, parameter_fields
from hdl.fp16_unit.schedule import Schedule
from hdl.frame import Frame
from hdl.pipeline import Pipeline, split
from hdl.store import Store

MAX_COLUMNS = 65536
"""What still elaborates in minutes, and what nobody builds as one block."""

ONE, MINUS_ZERO = 0x3C00, 0x8000


class Fp16Unit(wiring.Component):
    """The unit, bit for bit `golden_model.fp16_unit.fp16_unit`: one lane, `columns` columns in time.

    Parameters: the configuration, the golden model's own object.

    Members: `i`, `o`, `write`, `layer`, `flags`, `idle`, as in the NMPU (`hdl.frame`); word t of a vector, the t-th
    accepted one modulo `columns`, is column t. The latency is `latency` cycles (`Schedule`), the throughput one word a
    cycle. Back pressure is honoured: all registers of the datapath hold where the output is valid and not ready.

    What a layer leaves out becomes an operation that changes nothing, not even the sign of a zero: v * 1 + -0 where the
    tile is not the last, -0 * 0 + w without a receive operand. So nothing has to be carried around a multiply-add.

    Parameters and layer registers may be written in cycles in which `idle` is 1 and no word is accepted. `rst` clears
    valid bits, the word counter and the flags, and neither datapath nor parameters.
    """

    i: Interface
    o: Interface
    write: Any
    layer: Any
    flags: Signal
    idle: Signal

    def __init__(self, config: Fp16Config, *, host: bool = False) -> None:
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
        frame = Frame(m, self, units=1, columns=self.config.columns, steps=self.latency)
        layer = frame.layer(layer_fields(self.config))
        fields = parameter_fields(self.config)
        readers = {name: self.schedule.reader(name) for name in fields}
        for name, row in frame.store(fields, readers).items():
            frame.line.put(name, [self._gated(name, row, layer)], readers[name])
        entry, low = frame.entry(), 0
        for name, field in input_fields(self.config).items():
            frame.line.put(name, split(entry, field, 1, low), Store.latency)
            low += field.width
        for name in ("relu_before", "relu_after"):
            frame.line.put(name, layer[name] & layer["last"])
        self._corrected(frame.line, layer)
        self._finished(frame.line, layer)
        frame.exit(*self._results(frame.line, layer))
        return m

    def _gated(self, name: str, row: Any, layer: dict[str, Any]) -> Any:
        """Return a parameter as its operation uses it."""
        if name == "scale_n":
            return Cat(row[:15], ~row[15])
        if name in ("gamma", "beta") and not self.config.int8:
            return Mux(layer["last"], row, ONE if name == "gamma" else MINUS_ZERO)
        if name == "receive":
            return Mux(layer["add_residual"] & layer["last"], row, 0)
        return row

    def _converted(self, line: Pipeline, name: str, source: str, of: Any, use: str, gate: Any = None) -> None:
        """Convert an integer in the step before its use; where `gate` is 0 it becomes -0."""
        step = self.schedule.step(use)
        operation = from_int(of)
        operation.place(line, name, step - operation.latency, value=source)
        if gate is not None:
            line.put(name, [Mux(gate, line.get(name, step)[0], MINUS_ZERO)], step)

    def _corrected(self, line: Pipeline, layer: dict[str, Any]) -> None:
        """Place u and v."""
        config, cycles = self.config, self.config.multiply_add_cycles
        step = self.schedule.step("scale_p")
        self._converted(line, "first_half", "first", config.input_range, "scale_p")
        if not config.int8:
            received, offset = line.get("received", step)[0], line.get("offset", step)[0]
            line.put("addend", [Mux(layer["receive"], received, offset)], step)
        addend = "offset" if config.int8 else "addend"
        multiply_add(cycles).place(line, "u", step, a="first_half", b="scale_p", c=addend)
        if config.input is Input.COUNTS:
            self._converted(line, "second_half", "second", config.input_range, "scale_n")
            multiply_add(cycles).place(line, "v", self.schedule.step("scale_n"), a="second_half", b="scale_n", c="u")

    def _finished(self, line: Pipeline, layer: dict[str, Any]) -> None:
        """Place w and x, each with its ReLU, and with INT8 sums the addition of the sum between them."""
        config, cycles = self.config, self.config.multiply_add_cycles
        plain, step = multiply_add(cycles), self.schedule.step
        v = "v" if config.input is Input.COUNTS else "u"
        if config.int8:
            self._converted(line, "received_half", "received", INT8.range, "add_received", layer["receive"])
            plain.place(line, "w_alone", step("affine"), a=v, b="gamma", c="beta")
            summed = add(cycles).then(relu())
            summed.place(line, "w", step("add_received"), a="received_half", c="w_alone", relu="relu_before")
        else:
            plain.then(relu()).place(line, "w", step("affine"), a=v, b="gamma", c="beta", relu="relu_before")
        adds = layer["add_residual"] & layer["last"]
        self._converted(line, "residual_half", "residual", config.residual_input.range, "add_residual", adds)
        last = plain.then(relu())
        last.place(line, "x", step("add_residual"), a="residual_half", b="receive", c="w", relu="relu_after")

    def _results(self, line: Pipeline, layer: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """Place the conversions to codes; return the output word and whether it is flagged."""
        last, logits, end = layer["last"], layer["logits"], self.schedule.step("to_int")
        x = line.get("x", end)[0]
        codes = last & ~logits
        halves = last & logits if self.config.int8 else ~codes
        fields = [("code", self.config.output, codes)] + ([("sum", INT8, ~last)] if self.config.int8 else [])
        word, lost = [], halves & x[9:15].all()
        for name, output, chosen in fields:
            to_int(output).place(line, name, end, x="x")
            word.append(Mux(chosen, line.get(name, end)[0], 0)[: shape(output.range).width])
            lost = lost | (chosen & line.get(f"{name}_lost", end)[0])
        word.insert(1, Mux(halves, x, 0))
        return [Cat(word)], [lost]


def create(config: Fp16Config, *, host: bool = False) -> Fp16Unit:
    """Return the unit, on request with a host's ports; refuses (UserError) more columns than one block can have."""
    if config.columns > MAX_COLUMNS:
        raise UserError(f"columns = {config.columns}: one unit has at most {MAX_COLUMNS} columns")
    return Fp16Unit(config, host=host)
