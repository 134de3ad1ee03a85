"""Faults with a name, planted at the ports in Verilog: every one of them must be caught.

A wrapper stands around the sound unit, and one value of `mutsel` replaces what is driven there: words dropped under a
stall, flags that stay, fields that are lost. Nothing inside the unit is named, so the faults outlive its changes.
Faults in the arithmetic are planted in the specification instead: `cocotb_tests.misread`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cocotb_tests.ports import Struct, column_parameters, input_lane, layer_parameters, output_lane
from golden_model.nmpu_config import NmpuConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A fault at the ports: what is driven instead of a signal."""

    name: str
    """What is wrong."""
    inputs: tuple[tuple[str, str], ...] = ()
    """Input of the sound unit, and the expression that it gets instead of the port."""
    outputs: tuple[tuple[str, str], ...] = ()
    """Output port, and the expression that it gets; `X_s` is the sound unit's output X."""


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


def _slices(struct: Struct, port: str) -> dict[str, str]:
    """Return every field of a packed port as a slice of it."""
    slices, low = {}, 0
    for field in struct.fields:
        slices[field.name] = f"{port}[{low + field.bits - 1}:{low}]"
        low += field.bits
    return slices


def _joined(slices: dict[str, str]) -> str:
    return "{" + ", ".join(reversed(list(slices.values()))) + "}"


def _changed(struct: Struct, port: str, name: str, operator: str) -> str:
    """Return a packed port with one field changed: negated (`-`), cleared (`0`), set (`1`) or off by one (`^`)."""
    slices = _slices(struct, port)
    bits = next(field.bits for field in struct.fields if field.name == name)
    changes = {
        "-": f"(-{slices[name]})",
        "0": f"{bits}'d0",
        "1": f"{bits}'d1",
        "^": f"({slices[name]} ^ {bits}'d1)",
    }
    return _joined(slices | {name: changes[operator]})


def _swapped(struct: Struct, port: str, one: str, other: str) -> str:
    """Return a packed port with two fields of one width exchanged."""
    slices = _slices(struct, port)
    return _joined(slices | {one: slices[other], other: slices[one]})


def planted(config: NmpuConfig) -> list[Planted]:
    """Return the faults of a unit with every stage, two lanes of two columns."""
    columns, layer, lane = column_parameters(config), layer_parameters(config), input_lane(config)
    mask = "{" + ", ".join(f"write__mask[{index}]" for index in range(len(columns.fields))) + "}"
    ones = f"{{{len(columns.fields)}{{1'b1}}}}"
    low, high = (f"i__payload[{lane.bits - 1}:0]", f"i__payload[{2 * lane.bits - 1}:{lane.bits}]")
    out = output_lane(config).bits
    out_low, out_high = (f"o__payload_s[{out - 1}:0]", f"o__payload_s[{2 * out - 1}:{out}]")

    def parameter(name: str, field: str, operator: str) -> Planted:
        return Planted(name=name, inputs=(("write__data", _changed(columns, "write__data", field, operator)),))

    def register(name: str, field: str, operator: str) -> Planted:
        return Planted(name=name, inputs=(("layer__data", _changed(layer, "layer__data", field, operator)),))

    return [
        Planted(name="a long stall drops the word at the output", inputs=(("o__ready", "o__ready | (waited == 2)"),)),
        Planted(name="the word changes while it waits", outputs=(("o__payload", "o__payload_s ^ (waited == 3)"),)),
        Planted(name="valid is withdrawn under a stall", outputs=(("o__valid", "o__valid_s & (waited != 2)"),)),
        Planted(name="a word is taken and not acknowledged", outputs=(("i__ready", "i__ready_s & (flying != 3)"),)),
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
            outputs=(("flags", "{flags_s[2], flags_s[3], flags_s[0], flags_s[1]}"),),
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
        Planted(name="column number transposed", inputs=(("write__column", "{write__column[0], write__column[1]}"),)),
        parameter("offset with the wrong sign", "offset", "-"),
        parameter("batch-norm offset with the wrong sign", "bn_offset", "-"),
        parameter("negate ignored", "negate", "0"),
        parameter("batch-norm sign ignored", "bn_negate", "0"),
        parameter("column shift ignored", "shift", "0"),
        parameter("batch-norm shift off by one", "bn_shift", "^"),
        parameter("residual shift off by one", "residual_shift", "^"),
        Planted(
            name="scales exchanged", inputs=(("write__data", _swapped(columns, "write__data", "scale_p", "scale_n")),)
        ),
        register("layer shift off by one", "shift", "^"),
        Planted(
            name="ReLUs exchanged",
            inputs=(("layer__data", _swapped(layer, "layer__data", "relu_before", "relu_after")),),
        ),
        register("always receives", "receive", "1"),
        register("always the last tile", "last", "1"),
        register("always adds the residual", "add_residual", "1"),
        Planted(name="input lanes exchanged", inputs=(("i__payload", f"{{{low}, {high}}}"),)),
        Planted(name="output lanes exchanged", outputs=(("o__payload", f"{{{out_low}, {out_high}}}"),)),
        Planted(name="idle forgets the word number", outputs=(("idle", "flying == 0"),)),
        Planted(name="idle forgets the words inside", outputs=(("idle", "taken == 0"),)),
    ]


def wrapper(config: NmpuConfig, text: str, faults: list[Planted]) -> str:
    """Return Verilog in which module `nmpu` is the sound unit behind faults that `mutsel` chooses, from 1."""
    count = config.units * config.columns
    inputs = {
        "rst": 1,
        "i__valid": 1,
        "i__payload": config.units * input_lane(config).bits,
        "o__ready": 1,
        "write__en": 1,
        "write__column": max(1, (count - 1).bit_length()),
        "write__mask": len(column_parameters(config).fields),
        "write__data": column_parameters(config).bits,
        "layer__en": 1,
        "layer__data": layer_parameters(config).bits,
    }
    outputs = {
        "i__ready": 1,
        "o__valid": 1,
        "o__payload": config.units * output_lane(config).bits,
        "flags": count,
        "idle": 1,
    }
    select = len(faults).bit_length()
    lines = [
        f"module nmpu(clk, mutsel, {', '.join([*inputs, *outputs])});",
        f"  input clk; input [{select - 1}:0] mutsel;",
    ]
    lines += [f"  input [{bits - 1}:0] {name}; reg [{bits - 1}:0] {name}_d;" for name, bits in inputs.items()]
    lines += [
        f"  output [{bits - 1}:0] {name}; wire [{bits - 1}:0] {name}_s; reg [{bits - 1}:0] {name};"
        for name, bits in outputs.items()
    ]
    lines.append(STATE.format(flags=count - 1, columns=config.columns))
    lines.append("  always @* begin")
    lines += [f"    {name}_d = {name};" for name in inputs] + [f"    {name} = {name}_s;" for name in outputs]
    lines.append("    case (mutsel)")
    for number, fault in enumerate(faults, 1):
        driven = [f"{name}_d = {value};" for name, value in fault.inputs]
        driven += [f"{name} = {value};" for name, value in fault.outputs]
        lines.append(f"      {number}: begin {' '.join(driven)} end // {fault.name}")
    lines.append("    endcase\n  end")
    ties = [f".{name}({name}_d)" for name in inputs] + [f".{name}({name}_s)" for name in outputs]
    lines.append(f"  nmpu_sound sound(.clk(clk), {', '.join(ties)});\nendmodule\n")
    if text.count("module nmpu(") != 1:
        raise ValueError("the unit's text has no single module nmpu to wrap")
    return text.replace("module nmpu(", "module nmpu_sound(") + "\n".join(lines)
