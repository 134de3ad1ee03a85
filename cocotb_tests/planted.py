"""Faults with a name, planted at the ports in Verilog: every one of them must be caught.

A wrapper stands around the sound unit, and one value of `mutsel` replaces what is driven there: words dropped under a
stall, flags that stay, fields that are lost. Nothing inside the unit is named, so the faults outlive its changes.
Faults in the arithmetic are planted in the specification instead: a contract's `misreadings`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cocotb_tests.contract import Planted
from cocotb_tests.ports import Ports, Struct

STATE = """
  reg [15:0] waited = 0, flying = 0, taken = 0; reg toggle = 0, begun = 0;
  reg [{flags}:0] seen = 0, kept = 0, hidden = 0;
  wire accept = i__valid & i__ready_s, deliver = o__valid_s & o__ready;
  always @(posedge clk) begin
    toggle <= ~toggle;
    waited <= rst ? 0 : (o__valid_s & ~o__ready) ? waited + 1 : 0;
    flying <= rst ? 0 : flying + accept - deliver;
    taken <= rst ? 0 : (accept ? (taken == {columns} - 1 ? 0 : taken + 1) : taken);
    seen <= (rst | layer__en) ? 0 : seen | flags_s;
    kept <= (rst | write__en) ? 0 : kept | flags_s;
    hidden <= (rst | layer__en) ? 0 : write__en ? hidden | flags_s : hidden;
    begun <= 1;
  end
"""
"""What the faulty expressions may use: cycles the output waits, words inside, word number, flags ever up."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed port in Verilog, to be driven with something else."""

    port: str
    """Its name."""
    struct: Struct
    """Its fields."""

    def _slices(self) -> dict[str, str]:
        slices, low = {}, 0
        for field in self.struct.fields:
            slices[field.name] = f"{self.port}[{low + field.bits - 1}:{low}]"
            low += field.bits
        return slices

    def _driven(self, name: str, changes: dict[str, str]) -> Planted:
        slices = self._slices() | changes
        return Planted(name=name, inputs=((self.port, "{" + ", ".join(reversed(list(slices.values()))) + "}"),))

    def changed(self, name: str, field: str, operator: str) -> Planted:
        """Return the fault of one field: negated (`-`), cleared (`0`), 1 (`1`), lowest bit (`^`) or sign bit (`s`)."""
        was = self._slices()[field]
        bits = next(each.bits for each in self.struct.fields if each.name == field)
        changes = {
            "-": f"(-{was})",
            "0": f"{bits}'d0",
            "1": f"{bits}'d1",
            "^": f"({was} ^ {bits}'d1)",
            "s": f"({was} ^ {bits}'d{1 << (bits - 1)})",
        }
        return self._driven(name, {field: changes[operator]})

    def swapped(self, name: str, one: str, other: str) -> Planted:
        """Return the fault of two fields of one width exchanged."""
        slices = self._slices()
        return self._driven(name, {one: slices[other], other: slices[one]})


def parameters(ports: Ports) -> Packed:
    """Return the parameter write port."""
    return Packed("write__data", ports.parameters)


def layer(ports: Ports) -> Packed:
    """Return the layer write port."""
    return Packed("layer__data", ports.layer)


def frame_faults(ports: Ports) -> list[Planted]:
    """Return the faults of every unit that stands in `hdl.frame`; it needs four columns, two of them on a lane."""
    fields = len(ports.parameters.fields)
    mask = "{" + ", ".join(f"write__mask[{index}]" for index in range(fields)) + "}"
    ones = f"{{{fields}{{1'b1}}}}"
    address = f"write__{ports.address}"
    inside = 3 if ports.collected is None else 2  # words in the unit, ready for another
    pairs = ", ".join(f"flags_s[{column ^ 1}]" for column in reversed(range(ports.flags)))
    turned = ", ".join(f"{address}[{bit}]" for bit in range((ports.entries - 1).bit_length()))
    if ports.flags < 4 or ports.flags % 2 or ports.columns < 2:
        raise ValueError(f"{ports.units} x {ports.columns} columns do not show every fault")
    found = [
        Planted(name="a long stall drops the word at the output", inputs=(("o__ready", "o__ready | (waited == 2)"),)),
        Planted(name="the word changes while it waits", outputs=(("o__payload", "o__payload_s ^ (waited == 3)"),)),
        Planted(name="valid is withdrawn under a stall", outputs=(("o__valid", "o__valid_s & (waited != 2)"),)),
        Planted(
            name="a word is taken and not acknowledged", outputs=(("i__ready", f"i__ready_s & (flying != {inside})"),)
        ),
        Planted(name="an idle cycle enters as a word", inputs=(("i__valid", "1'b1"),)),
        Planted(
            name="ready falls every other cycle",
            inputs=(("i__valid", "i__valid & toggle"),),
            outputs=(("i__ready", "i__ready_s & toggle"),),
        ),
        Planted(name="flags never go up", outputs=(("flags", "0"),)),
        Planted(name="flags last one cycle", outputs=(("flags", "flags_s & ~seen"),)),
        Planted(name="a column write does not clear its flag", outputs=(("flags", "flags_s | seen"),)),
        Planted(name="a layer write does not clear the flags", outputs=(("flags", "flags_s | kept"),)),
        Planted(name="a column write clears every flag", outputs=(("flags", "flags_s & ~hidden"),)),
        Planted(
            name="flags of neighbouring columns exchanged",
            outputs=(("flags", f"{{{pairs}}}"),),
        ),
        Planted(name="reset clears nothing", inputs=(("rst", "rst & ~begun"),)),
        Planted(
            name="reset clears a column's parameters",
            inputs=(
                ("write__en", "write__en | rst"),
                ("write__mask", f"rst ? {ones} : write__mask"),
                ("write__data", "rst ? 0 : write__data"),
            ),
        ),
        Planted(
            name="reset clears the layer registers",
            inputs=(("layer__en", "layer__en | rst"), ("layer__data", "rst ? 0 : layer__data")),
        ),
        Planted(name="the write mask is ignored", inputs=(("write__mask", ones),)),
        Planted(name="the write mask is reversed", inputs=(("write__mask", mask),)),
        Planted(
            name="an empty mask writes everything",
            inputs=(("write__mask", f"write__mask == 0 ? {ones} : write__mask"),),
        ),
        Planted(name="every cycle writes a column", inputs=(("write__en", "1'b1"),)),
        Planted(name="every cycle writes the layer registers", inputs=(("layer__en", "1'b1"),)),
        Planted(name="column number transposed", inputs=((address, f"{{{turned}}}"),)),
        Planted(name="idle forgets the word number", outputs=(("idle", "flying == 0"),)),
        Planted(name="idle forgets the words inside", outputs=(("idle", "taken == 0"),)),
    ]
    if ports.units == 2 and ports.collected is None:
        into, out = ports.input.bits, ports.output.bits
        low, high = f"i__payload[{into - 1}:0]", f"i__payload[{2 * into - 1}:{into}]"
        out_low, out_high = f"o__payload_s[{out - 1}:0]", f"o__payload_s[{2 * out - 1}:{out}]"
        found += [
            Planted(name="input lanes exchanged", inputs=(("i__payload", f"{{{low}, {high}}}"),)),
            Planted(name="output lanes exchanged", outputs=(("o__payload", f"{{{out_low}, {out_high}}}"),)),
        ]
    return found


def wrapper(unit: str, ports: Ports, text: str, faults: list[Planted]) -> str:
    """Return Verilog in which the unit's module is the sound one behind faults that `mutsel` chooses, from 1."""
    inputs = {
        "rst": 1,
        "i__valid": 1,
        "i__payload": ports.units * ports.input.bits,
        "o__ready": 1,
        "write__en": 1,
        f"write__{ports.address}": max(1, (ports.entries - 1).bit_length()),
        "write__mask": len(ports.parameters.fields),
        "write__data": ports.parameters.bits,
        "layer__en": 1,
        "layer__data": ports.layer.bits,
    }
    outputs = {
        "i__ready": 1,
        "o__valid": 1,
        "o__payload": ports.results * ports.output.bits,
        "flags": ports.flags,
        "idle": 1,
    }
    if ports.collected is not None:
        outputs["activity"] = ports.collected.totals.bits
    select = len(faults).bit_length()
    lines = [
        f"module {unit}(clk, mutsel, {', '.join([*inputs, *outputs])});",
        f"  input clk; input [{select - 1}:0] mutsel;",
    ]
    lines += [f"  input [{bits - 1}:0] {name}; reg [{bits - 1}:0] {name}_d;" for name, bits in inputs.items()]
    lines += [
        f"  output [{bits - 1}:0] {name}; wire [{bits - 1}:0] {name}_s; reg [{bits - 1}:0] {name};"
        for name, bits in outputs.items()
    ]
    lines.append(STATE.format(flags=ports.flags - 1, columns=ports.columns))
    lines.append("  always @* begin")
    lines += [f"    {name}_d = {name};" for name in inputs] + [f"    {name} = {name}_s;" for name in outputs]
    lines.append("    case (mutsel)")
    for number, fault in enumerate(faults, 1):
        driven = [f"{name}_d = {value};" for name, value in fault.inputs]
        driven += [f"{name} = {value};" for name, value in fault.outputs]
        lines.append(f"      {number}: begin {' '.join(driven)} end // {fault.name}")
    lines.append("    endcase\n  end")
    ties = [f".{name}({name}_d)" for name in inputs] + [f".{name}({name}_s)" for name in outputs]
    lines.append(f"  {unit}_sound sound(.clk(clk), {', '.join(ties)});\nendmodule\n")
    if text.count(f"module {unit}(") != 1:
        raise ValueError("the unit's text has no single module nmpu to wrap")
    return text.replace(f"module {unit}(", f"module {unit}_sound(") + "\n".join(lines)
