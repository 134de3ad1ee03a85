"""The peripheral below the columns: a chain of one-bit adders that also subtract, broken where words begin."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal


def chain(
    m: Module, both: Any, neither: Any, scale: Any, starts: list[Any], subtract: list[Any]
) -> tuple[Signal, Signal]:
    """Place the chain; return the sum bits, and O1: what a column holds, exclusive-ored with what it is to add.

    Parameters, one entry a column: `both` and `neither` are AND and NOR of the bit held and the scale bit, as the two
    bit lines give them, `scale` the scale bit itself; `starts` is 1 where a word begins, so that no carry enters (None
    where none ever begins); `subtract` chooses the borrow.

        O1 = NOR(AND, NOR)      S = Cin xor O1      Cout = O1 ? Cin : AND      Bout = O1 ? B : Bin

    The paper's Fig. 3d draws AND and Bin at the inputs that O1 = 1 selects, which is wrong for sums and differences
    (`golden_model.scale_array.bits`). Combinational, as deep as the longest word.
    """
    differ, total = (Signal(len(both), name=name) for name in ("differ", "total"))
    m.d.comb += differ.eq(~(both | neither))
    bits = []
    carry: Any = 0
    for column, (start, borrows) in enumerate(zip(starts, subtract, strict=True)):
        entering = Signal(name=f"entering_{column}")
        m.d.comb += entering.eq(carry if start is None else Mux(start, 0, carry))
        unlike = differ[column]
        bits.append(unlike ^ entering)
        carry = Mux(borrows, Mux(unlike, scale[column], entering), Mux(unlike, entering, both[column]))
    m.d.comb += total.eq(Cat(bits))
    return total, differ
