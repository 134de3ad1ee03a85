"""Clock gates and parameter memories as instances: Yosys' text of a design, rewritten cell by cell.

Flip-flops that share an enable get a gated clock in the place of the enable, and every memory becomes an instance, so
that a flow finds two modules to replace by its own cells and macros. Nothing else of the design changes.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LEAST_GATED = 3
"""Flip-flops with one enable from which on they share a clock gate; fewer keep their enable."""

_CELL = re.compile(r"^((?:  attribute .*\n)*)  cell (\S+) (\S+)\n((?:    .*\n)*)  end\n", re.MULTILINE)
_END = "end\n"
_SLICE = re.compile(r"\s*(?:(\\\S+|\$\S+)(?: \[(\d+)(?::(\d+))?\])?|(\d+)'([01xz]+))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A design with its wrappers."""

    text: str
    """RTLIL."""
    gates: int
    """Clock gates."""
    gated: int
    """Flip-flops behind them."""
    memories: int
    """Memories."""


def _parameters(body: str) -> dict[str, str]:
    return dict(re.findall(r"^    parameter (?:signed )?\\(\S+) (.+)$", body, re.MULTILINE))


def _connections(body: str) -> dict[str, str]:
    return dict(re.findall(r"^    connect \\(\S+) (.+)$", body, re.MULTILINE))


def bits(signal: str, widths: Mapping[str, int]) -> list[str]:
    """Return the bits of a signal as RTLIL writes it, the lowest first; `widths` are those of the module's wires."""
    found: list[str] = []
    inner = signal.strip().removeprefix("{").removesuffix("}").strip()
    at = 0
    while at < len(inner):
        part = _SLICE.match(inner, at)
        if part is None:
            raise ValueError(f"not a signal of RTLIL: {signal}")
        name, high, low, _, constant = part.groups()
        if constant is not None:
            own = [f"1'{digit}" for digit in reversed(constant)]
        elif high is None:
            own = [name] if widths[name] == 1 else [f"{name} [{n}]" for n in range(widths[name])]
        else:
            own = [f"{name} [{n}]" for n in range(int(low or high), int(high) + 1)]
        found[:0] = own  # the first part stands highest
        at = part.end()
        while at < len(inner) and inner[at] == " ":
            at += 1
    return found


def _instance(kind: str, name: str, parameters: Mapping[str, int], connections: Mapping[str, str]) -> str:
    lines = [f"  cell \\{kind} \\{name}"]
    lines += [f"    parameter \\{key} {value}" for key, value in parameters.items()]
    lines += [f"    connect \\{key} {value}" for key, value in connections.items()]
    return "\n".join([*lines, "  end", ""])


def _memory(kind: str, name: str, body: str, widths: Mapping[str, int], lanes: int) -> str:
    """Return the instance in the place of a memory; a ValueError where it is not what the wrapper says."""
    has, ends = _parameters(body), _connections(body)
    width, address = int(has["WIDTH"]), int(has["ABITS"])
    expected = {"RD_PORTS": "1", "WR_PORTS": "1", "RD_CLK_ENABLE": "1'1", "WR_CLK_ENABLE": "1'1", "OFFSET": "0"}
    expected |= {"RD_TRANSPARENCY_MASK": "1'0", "RD_CLK_POLARITY": "1'1", "WR_CLK_POLARITY": "1'1"}
    wrong = [key for key, value in expected.items() if has[key] != value]
    wrong += ["INIT"] * (set(has["INIT"].rpartition("'")[2]) != {"0"})
    enables = bits(ends["WR_EN"], widths)
    size = width // lanes
    rows = [enables[lane * size : (lane + 1) * size] for lane in range(lanes)]
    if wrong or lanes * size != width or any(len(set(row)) != 1 for row in rows):
        raise ValueError(f"memory {name}: {wrong or 'its lanes'} are not what the wrapper does")
    one = "{ " + " ".join(row[0] for row in reversed(rows)) + " }"
    return _instance(
        kind,
        name.lstrip("\\"),
        {"LANES": lanes, "BITS": size, "DEPTH": int(has["SIZE"]), "ADDRESS_BITS": address},
        {
            "clk": ends["WR_CLK"],
            "write_enable": one,
            "write_address": ends["WR_ADDR"],
            "write_data": ends["WR_DATA"],
            "read_enable": ends["RD_EN"],
            "read_address": ends["RD_ADDR"],
            "read_data": ends["RD_DATA"],
        },
    )


def _modules(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the text in pieces, and whether a piece is a module."""
    at = 0
    for found in re.finditer(r"^module .*?^end\n", text, re.MULTILINE | re.DOTALL):
        yield text[at : found.start()], False
        yield found.group(), True
        at = found.end()
    yield text[at:], False


def _enabled(kind: str, body: str) -> tuple[str, str] | None:
    """Return clock and enable of a flip-flop at the rising edge that takes D where its enable is 1; else None."""
    if kind != "$dffe":
        return None
    has, ends = _parameters(body), _connections(body)
    return (ends["CLK"], ends["EN"]) if has["EN_POLARITY"] == has["CLK_POLARITY"] == "1" else None


def _clocks(module: str) -> dict[tuple[str, str], str]:
    """Return the gated clocks that a module gets, by clock and enable."""
    flops: dict[tuple[str, str], int] = defaultdict(int)
    for _, kind, _, body in _CELL.findall(module):
        if (ends := _enabled(kind, body)) is not None:
            flops[ends] += int(_parameters(body)["WIDTH"])
    chosen = [ends for ends, count in flops.items() if count >= LEAST_GATED]
    return {ends: f"gated_clk_{number}" for number, ends in enumerate(chosen)}


def _ungated(body: str, clock: str) -> str:
    """Return the body of a flip-flop without its enable, at another clock."""
    body = re.sub(r"^    (parameter \\EN_POLARITY|connect \\EN) .*\n", "", body, flags=re.MULTILINE)
    return re.sub(r"^    connect \\CLK .*$", lambda _: f"    connect \\CLK \\{clock}", body, flags=re.MULTILINE)


def wrap(text: str, *, gate: str, memory: str, lanes: int) -> Wrapped:
    """Replace enables by gated clocks and memories by instances in RTLIL whose flip-flops are `$dff` and `$dffe`.

    `gate`, `memory`: the modules to instantiate; `lanes`: numbers side by side in a row of every memory. A gated
    flip-flop takes D at the rising edges at which its enable is 1, as before; all others keep the clock. A memory that
    is not what its wrapper does is a ValueError.
    """
    gates = gated = memories = 0
    pieces = []
    for piece, is_module in _modules(text):
        if not is_module:
            pieces.append(piece)
            continue
        wires = re.findall(r"^  wire (?:width (\d+) )?.*?([\\$]\S+)$", piece, re.MULTILINE)
        widths = {name: int(width or 1) for width, name in wires}
        clocks = _clocks(piece)
        at, written, added, named = 0, [], "", "".join(f"  wire \\{clock}\n" for clock in clocks.values())
        for found in _CELL.finditer(piece):
            attributes, kind, name, body = found.groups()
            written.append(piece[at : found.start()])
            at = found.end()
            ends = _enabled(kind, body)
            if kind == "$mem_v2":
                memories += 1
                written.append(attributes + _memory(memory, name, body, widths, lanes))
            elif ends is not None and ends in clocks:
                width, output = int(_parameters(body)["WIDTH"]), _connections(body)["Q"]
                gated += width
                if " " in output:  # part of a wire: no variable is written at two clocks
                    own = f"\\gated_q_{len(written)}"
                    body = body.replace(f"connect \\Q {output}\n", f"connect \\Q {own}\n")
                    named += f"  wire width {width} {own}\n"
                    added += f"  connect {output} {own}\n"
                written.append(f"{attributes}  cell $dff {name}\n{_ungated(body, clocks[ends])}  end\n")
            else:
                written.append(found.group())
        gates += len(clocks)
        head, _, rest = "".join([*written, piece[at:]]).partition("\n")
        for (clk, enable), clock in clocks.items():
            ties = {"clk": clk, "enable": enable, "test_enable": "1'0", "gated": f"\\{clock}"}
            added += _instance(gate, clock.replace("gated_clk", "gate"), {}, ties)
        pieces.append(f"{head}\n{named}{rest.removesuffix(_END)}{added}{_END}")
    return Wrapped(text="".join(pieces), gates=gates, gated=gated, memories=memories)
