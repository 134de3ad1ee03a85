"""The ports of the array, derived from a configuration."""

from typing import Any

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from golden_model.scale_array.config import ScaleArrayConfig

COUNTERS = ("operations", "reads", "computes", "stores")
"""The activity counters, lowest bits first."""


def members(config: ScaleArrayConfig) -> dict[str, Any]:
    """Return the members of the unit's signature; `clk` and `rst` come with the clock domain."""
    code = data.StructLayout({"p": unsigned(2)})
    total = data.StructLayout({"sum": signed(config.sum_bits)})
    scale = data.StructLayout({"scale": unsigned(config.scale_bits)})
    write = {
        "en": Out(1),
        "row": Out(max(1, (config.scale_rows - 1).bit_length())),
        "mask": Out(config.words),
        "data": Out(data.ArrayLayout(scale, config.words)),
    }
    layer = {"en": Out(1), "data": Out(data.StructLayout({"binary": unsigned(1)}))}
    return {
        "i": In(stream.Signature(data.ArrayLayout(code, config.columns))),
        "o": Out(stream.Signature(data.ArrayLayout(total, config.lanes))),
        "write": In(wiring.Signature(write)),
        "layer": In(wiring.Signature(layer)),
        "flags": Out(config.columns),
        "activity": Out(data.StructLayout(dict.fromkeys(COUNTERS, unsigned(config.counter_bits)))),
        "idle": Out(1),
    }


MEANINGS: dict[str, str] = {
    "i": "the codes of one stream, lane c is column c; word j of an array is stream j",
    "o": "finished sums, a row a word, behind the array's last stream",
    "i.p": "00 is 0, 01 is +1, 11 is -1; 10 acts as 00 and is flagged; in binary mode 0x is +1 and 1x is -1",
    "o.sum": "lane m of word q * scale_bits + r is column r * words + passes * m + q",
    "write.en": "write one row of scale factors in this cycle; clears the flags of its columns",
    "write.row": "row j * scale_bits + r: columns r * words and up of stream j",
    "write.mask": "which words of the row to write",
    "write.data": "the row's words, lane w is column r * words + w",
    "layer.en": "write the mode in this cycle; clears all flags and counters",
    "layer.data": "binary: one comparator a column, p is never 0",
    "flags": "sticky, one bit a column: its sum overflowed, or an illegal code came",
    "activity": "words (a column and stream each) that passed, were read, computed and stored; wrapping",
    "idle": "no word is under way and the next one is stream 0 of an array",
}
"""What a port or a field of a stream's word carries."""
