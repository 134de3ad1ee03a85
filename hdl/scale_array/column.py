"""The peripheral below the columns: a chain of one-bit adders that also subtract, broken where words begin."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal


def chain(
    m: Module, both: list[Any], neither: list[Any], scale: list[Any], starts: Any, subtract: Any
) -> tuple[list[Signal], list[Signal]]:
    """Place the chain; return the sum bits, and O1: what a column holds, exclusive-ored with what it is to add.

    Parameters, one entry a group of columns, lowest first: `both` and `neither` are AND and NOR of the bits held and
    the scale's, as the two bit lines give them, `scale` the scale's bits themselves; `starts` is 1 where a word begins,
    so that no carry enters; `subtract` chooses the borrow.

        O1 = NOR(AND, NOR)      S = Cin xor O1      Cout = O1 ? Cin : AND      Bout = O1 ? B : Bin

    The paper's Fig. 3d draws AND and Bin at the inputs that O1 = 1 selects, which is wrong for sums and differences
    (`golden_model.scale_array.bits`). Combinational, as deep as the longest word. A signal a group: a simulator then
    passes a change on to its own columns and not to all.
    """
    totals, differing = [], []
    carry: Any = 0
    for g, (anded, nored, scaled) in enumerate(zip(both, neither, scale, strict=True)):
        differ, total = (Signal(len(anded), name=f"{name}_{g}") for name in ("differ", "total"))
        m.d.comb += differ.eq(~(anded | nored))
        carry = Mux(starts[g], 0, carry)
        bits = []
        for t in range(len(anded)):
            entering = Signal(name=f"entering_{g}_{t}")
            m.d.comb += entering.eq(carry)
            bits.append(differ[t] ^ entering)
            borrowed, carried = Mux(differ[t], scaled[t], entering), Mux(differ[t], entering, anded[t])
            carry = Mux(subtract[g], borrowed, carried)
        m.d.comb += total.eq(Cat(bits))
        totals.append(total)
        differing.append(differ)
    return totals, differing
