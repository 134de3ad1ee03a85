"""An APB subordinate around a streaming unit: the bus owns the parameters, the streams pass through."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface
from amaranth.lib.wiring import In, Out

from hdl.apb.registers import ALIGNED, WORD, Access, RegisterMap


def signature(address_bits: int) -> wiring.Signature:
    """Return the APB as its requester drives it, by the names of the specification; clock and reset are the unit's."""
    requester = {
        "psel": Out(1),
        "penable": Out(1),
        "pwrite": Out(1),
        "paddr": Out(address_bits),
        "pwdata": Out(WORD),
        "pstrb": Out(WORD // 8),
    }
    return wiring.Signature(requester | {"pready": In(1), "prdata": In(WORD), "pslverr": In(1)})


class ApbUnit(wiring.Component):
    """A unit with the ports of a host, behind APB4 (APB3 with `pstrb` tied to ones), one clock for both.

    Parameters: the unit (built with `host`), its `RegisterMap`.

    Members: `apb`; `i`, `o`: the unit's streams; `idle`: as the unit's; `saturated`: some flag is up, a level that can
    ask for an interrupt. `clk` is PCLK, `rst` the inverse of PRESETn, taken at the rising edge.

    Transfers: the decision falls in the first cycle in which psel and penable are 1. pready follows a cycle later, two
    for a parameter that is read: 1 wait state, 2 for those. All answers come from registers. pslverr answers a transfer
    that does nothing: an address that is not aligned or not there; a write to what is only read; a write with any of
    pstrb 0; and, while the unit is not idle, parameters and layer registers. prdata is then 0.

    The unit's contract is kept: in the cycle of a parameter access no word is taken; `i.ready` falls for it, by a
    combinational path from the address. `control.hold` keeps the next vector out, so that idle comes while the source
    goes on offering. Latency and throughput of the streams are the unit's; `o.ready` to `i.ready` is a combinational
    path, as there. `rst` clears hold and the state of the bus, and what it clears in the unit.
    """

    apb: Any
    i: Interface
    o: Interface
    idle: Signal
    saturated: Signal

    def __init__(self, unit: Any, registers: RegisterMap) -> None:
        self.unit, self.registers = unit, registers
        members = unit.signature.members
        super().__init__(
            {
                "apb": In(signature(registers.address_bits)),
                "i": members["i"],
                "o": members["o"],
                "idle": Out(1),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        m.submodules.core = unit = self.unit
        of, apb, host = self.registers, self.apb, unit.host
        touch, hold = Signal(name="touch"), Signal(name="hold")
        blocked = Signal(name="blocked")
        m.d.comb += [
            blocked.eq(touch | (hold & host.first)),
            unit.i.payload.as_value().eq(self.i.payload.as_value()),
            unit.i.valid.eq(self.i.valid & ~blocked),
            self.i.ready.eq(unit.i.ready & ~blocked),
            self.o.payload.as_value().eq(unit.o.payload.as_value()),
            self.o.valid.eq(unit.o.valid),
            unit.o.ready.eq(self.o.ready),
            self.idle.eq(unit.idle),
            self.saturated.eq(unit.flags.any()),
        ]
        issue, sound, fetch = Signal(name="issue"), Signal(name="sound"), Signal(name="fetch")
        fetching = Signal(name="fetching")
        m.d.comb += issue.eq(apb.psel & apb.penable & ~apb.pready & ~fetching)
        access = issue & sound
        write, read = access & apb.pwrite, access & ~apb.pwrite
        column = apb.paddr[(of.column_stride - 1).bit_length() :][: (of.count - 1).bit_length()]
        field = apb.paddr[(ALIGNED - 1).bit_length() :][: (of.column_stride // ALIGNED - 1).bit_length()]
        parameter, layer, flags, control = self._decode(m, sound, column, field)
        m.d.comb += [
            fetch.eq(read & parameter),
            host.clear.eq(Cat(self._clears(write & flags))),
            touch.eq(access & (parameter | layer)),
            unit.write.column.eq(column),
            unit.write.en.eq(write & parameter),
            unit.write.mask.eq(1 << field),
            unit.write.data.as_value().eq(Cat(apb.pwdata[: each.width] for each in of.parameter_fields)),
            host.read.eq(fetch),
            unit.layer.en.eq(write & layer),
        ]
        if of.layer_fields:
            m.d.comb += unit.layer.data.as_value().eq(apb.pwdata)
        # No case and no enable: answers are 0 between transfers, and no line is quiet for being held.
        other = self._register(hold)
        m.d.sync += [
            fetching.eq(fetch),
            apb.pready.eq((issue & ~fetch) | fetching),
            apb.pslverr.eq(issue & ~sound),
            apb.prdata.eq(Mux(fetching, self._parameter(), Mux(read & ~parameter, other, 0))),
            hold.eq(Mux(write & control, apb.pwdata[0], hold)),
        ]
        return m

    def _clears(self, enable: Any) -> list[Any]:
        """Return the flags to clear, a bit a column."""
        words = self.registers.flag_words
        each = [self.apb.pwdata & (enable & self._word(n, words)).replicate(WORD) for n in range(words)]
        return [word[: self.registers.count - n * WORD] for n, word in enumerate(each)]

    def _word(self, number: int, words: int) -> Any:
        """Return whether the address is that of one word of an array."""
        index = self.apb.paddr[2:][: (words - 1).bit_length()]
        return index == number

    def _decode(self, m: Module, sound: Signal, column: Any, field: Any) -> tuple[Any, Any, Any, Any]:
        """Drive `sound`: the transfer is carried out; return where the address lies, if it is sound."""
        of, apb, unit = self.registers, self.apb, self.unit
        parameter, flags, layer, control = (Signal(name=name) for name in ("parameter", "flags", "layer", "control"))
        word = apb.paddr[2:]
        offsets = {register.name: register.offset // ALIGNED for register in of.registers if register.count == 1}
        single = {name: word == offset for name, offset in offsets.items() if offset < of.flags // ALIGNED}
        first, last = of.flags // ALIGNED, of.flags // ALIGNED + of.flag_words
        above = (of.parameters_size - 1).bit_length()
        inside = apb.paddr[above:] == of.parameters >> above
        m.d.comb += [
            parameter.eq(inside & (column < of.count) & (field < len(of.parameter_fields))),
            flags.eq((word >= first) & (word < last)),
            layer.eq(single.get("layer", Const(0, 1))),
            control.eq(single["control"]),
        ]
        fixed = [here for name, here in single.items() if of[name].access is Access.READ]
        there = parameter | flags | layer | control | (Cat(fixed).any() & ~apb.pwrite)
        whole = ~apb.pwrite | apb.pstrb.all()
        m.d.comb += sound.eq(there & ~apb.paddr[:2].any() & whole & (~(parameter | layer) | unit.idle))
        return parameter, layer, flags, control

    def _register(self, hold: Signal) -> Any:
        """Return what is read at an address that is no parameter's."""
        of, unit = self.registers, self.unit
        value: Any = Const(0, WORD)
        for n in range(of.flag_words):
            here = self._word(n, of.flag_words) & (self.apb.paddr >= of.flags)
            value = value | Mux(here, unit.flags[n * WORD : (n + 1) * WORD], 0)
        own = {"status": Cat(self.idle, self.saturated), "control": hold}
        if of.layer_fields:
            own["layer"] = unit.host.layer.as_value()
        for register in of.registers:
            if register.offset >= of.flags:
                continue
            read = own[register.name] if register.value is None else Const(register.value, WORD)
            value = value | Mux(self.apb.paddr == register.offset, read, 0)
        return value

    def _parameter(self) -> Any:
        """Return the parameter that was read in the cycle before, its sign extended."""
        of, value = self.registers, Const(0, WORD)
        data = self.unit.host.data.as_value()
        for n, field in enumerate(of.parameter_fields):
            code = data[field.low : field.low + field.width]
            sign = code[-1].replicate(WORD - field.width) if field.signed else Const(0, WORD - field.width)
            value = value | Mux(self._word(n, of.column_stride // ALIGNED), Cat(code, sign), 0)
        return value
