"""Rows of a memory that are written lane by lane, said as one write of the row: for Verilator.

Verilator keeps a flag, a place and a value for every assignment to a memory, and looks at each flag in every cycle. For
64 lanes and four parameters that is a quarter of a model's time, though nothing is written while words stream.
"""

import re

_BLOCK = re.compile(
    r"  always @\(posedge (?P<clock>\S+)\) begin\n"
    r"(?P<writes>(?:    if \(\S+ ?\[\d+\]\)\n      \S+\[[^\n]*\]\[\d+(?::\d+)?\] <= [^\n]+;\n){2,})  end\n"
)
_WRITE = re.compile(
    r"    if \((?P<enable>\S+ ?)\[\d+\]\)\n"
    r"      (?P<row>\S+\[[^\n]*\])\[(?P<high>\d+)(?::(?P<low>\d+))?\] <= (?P<value>[^\n]+);\n"
)


def whole_rows(text: str) -> str:
    """Return Verilog with such a block as `if (|enable) row <= {lane n, ..., lane 0};`, a lane not enabled as it was.

    A block stays as it is where its lanes are not those of one row, side by side from bit 0 and enabled by the bits of
    one signal in order. The function is the same either way.
    """
    return _BLOCK.sub(_whole, text)


def _whole(block: re.Match[str]) -> str:
    enable, row, lanes, top = "", "", list[str](), -1
    for number, write in enumerate(_WRITE.finditer(block["writes"])):
        low = int(write["low"] or write["high"])
        if number == 0:
            enable, row = write["enable"], write["row"]
        lane = f"{enable}[{number}]"
        if write["row"] != row or low != top + 1 or not write[0].startswith(f"    if ({lane})"):
            return block[0]
        top = int(write["high"])
        span = f"{top}:{low}" if write["low"] else f"{top}"
        lanes.insert(0, f"{lane} ? {write['value']} : {row}[{span}]")
    joined = ",\n        ".join(lanes)
    return f"  always @(posedge {block['clock']})\n    if (|{enable})\n      {row} <= {{\n        {joined}\n      }};\n"
