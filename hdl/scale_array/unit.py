"""The scale-factor array: rows of scales and of sums over shared columns, read, computed and stored a row a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.stream import Interface

from golden_model.errors import UserError
from golden_model.scale_array.config import ScaleArrayConfig
from hdl.scale_array.column import chain
from hdl.scale_array.ports import members
from hdl.scale_array.rows import Rows
from hdl.scale_array.schedule import Schedule
from hdl.scale_array.sequence import Sequence
from hdl.scale_array.words import Words

MAX_COLUMNS = 4096
"""What still elaborates in minutes, and what nobody builds as one crossbar."""


class ScaleArray(wiring.Component):
    """The array, bit for bit `golden_model.scale_array`: PS_i = sum over streams j of p_ij * s_ij.

    Parameters: the configuration, the golden model's own object.

    Members: `i` (a word is one stream's codes of all columns; `streams` words make an array), `o` (a word is one row of
    finished sums; `slots` of them leave behind an array's last stream), `write` (a row of scale factors), `layer` (the
    mode), `flags`, `activity`, `idle`.

    Timing: a stream takes `slots` cycles, so that `i.ready` is 1 in one cycle of that many while words come; latency 3
    from the last stream to the first row of sums, then a row a cycle; `Schedule.cycles` from the first stream to the
    last sum (34 for A), and an array every streams * slots cycles. Back pressure is honoured: everything holds where
    `o` is valid and not ready, a combinational path from `o.ready` to `i.ready`.

    p = 0 leaves the latches behind the bit lines and the row of sums alone; it never saves a cycle, since columns work
    in lock-step. A sum is 0 until its first store, known by a bit a column, so that nothing is cleared; the last
    stream's sums leave instead of being stored. Scales and mode may be written in cycles in which `idle` is 1 and no
    word is accepted. `rst` clears valid bits, the stream's number, flags and counters, and neither scales nor mode.
    """

    i: Interface
    o: Interface
    write: Any
    layer: Any
    flags: Signal
    activity: Any
    idle: Signal

    def __init__(self, config: ScaleArrayConfig) -> None:
        self.config = config
        self.schedule = Schedule(config)
        super().__init__(members(config))

    @property
    def latency(self) -> int:
        """Return the cycles from an array's last accepted word to its first row of sums, without back pressure."""
        return self.schedule.latency

    def elaborate(self, platform: Any) -> Module:
        """Return the module."""
        m = Module()
        words, rows = Words(m, self.config), Rows(m, self.config)
        advance, binary = Signal(name="advance"), Signal(name="binary", reset_less=True)
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        with m.If(self.layer.en):
            m.d.sync += binary.eq(self.layer.data.binary)
        rows.load(self.write)
        now = Sequence(m, self.config, self, advance, binary)
        compute = self._read(m, words, rows, now, advance)
        total, lost = self._compute(m, words, rows, compute)
        busy = self._store(m, words, rows, compute, total, advance)
        overflow = words.columns("overflow", lost, compute["row"], compute["number"])
        self._flag(m, now.illegal | Mux(advance & compute["valid"], overflow, 0))
        m.d.comb += self.idle.eq(~(now.busy | compute["valid"] | busy) & (now.stream == 0))
        return m

    def _read(self, m: Module, words: Words, rows: Rows, now: Sequence, advance: Any) -> dict[str, Any]:
        """Place the first step: which lanes do what, the latches, the counters. Return what goes to the next step."""
        config, slot = self.config, (now.row, now.number)
        ever = Signal(config.columns, name="ever_stored", reset_less=True)
        works = words.lanes("lane_works", now.works, *slot)
        subtract = words.lanes("lane_subtract", now.subtract, *slot)
        stored = words.lanes("lane_stored", ever, *slot)
        reads, stores = (Signal(config.lanes, name=f"lane_{name}") for name in ("reads", "stores"))
        last = now.last.replicate(config.lanes)
        m.d.comb += [reads.eq(works | last), stores.eq(works & ~last)]
        working = advance & now.busy
        rows.read(words, now, working, reads=reads, works=works, subtract=subtract, stored=stored)
        with m.If(
            now.begins
        ):  # in the last slot of the array before, if it follows at once: a last stream stores nothing
            m.d.sync += ever.eq(0)
        with m.Elif(working):
            m.d.sync += ever.eq(ever | words.columns("stored_now", stores, *slot))
        done = {"operations": config.lanes, "reads": reads, "computes": works, "stores": stores}
        for name, lanes in done.items():
            count = getattr(self.activity, name)
            more = lanes if isinstance(lanes, int) else sum(lanes[1:], lanes[0])
            with m.If(self.layer.en):
                m.d.sync += count.eq(0)
            with m.Elif(working):
                m.d.sync += count.eq(count + more)
        held = {"row": now.row, "number": now.number, "sum_row": now.sum_row, "last": now.last}
        held |= {"works": works, "subtract": subtract, "stores": stores}
        return _moved(m, "compute", advance, held) | {"valid": _valid(m, "compute", advance, now.busy)}

    def _compute(self, m: Module, words: Words, rows: Rows, step: dict[str, Any]) -> tuple[Any, Any]:
        """Place the second step: the chain below the columns. Return the new row of sums and which lanes overflowed."""
        config, spare = self.config, words.spare
        number, works, subtract = step["number"], step["works"], step["subtract"]
        borrows = words.unrolled("borrows", subtract, number)
        latches = (rows.both, rows.neither, rows.scale)
        both, neither, scale = ([*latch, *latch[:spare]] for latch in latches)
        totals, differing = chain(m, both, neither, scale, words.starts(number), borrows)

        def lost(q: int) -> Any:
            """A sign that changes although signs alike were added, or unlike ones subtracted."""
            ends = [config.passes * (lane + 1) + q - 1 for lane in range(config.lanes)]
            before, after = Cat(differing[end][-1] for end in ends), Cat(totals[end][-1] for end in ends)
            return works & (before ^ after) & ~(before ^ subtract)

        # The groups that a wrapped word reaches, in the passes behind theirs.
        folded = [Mux(number > g, totals[config.words + g], totals[g]) for g in range(spare)]
        row = Cat(*folded, *totals[spare : config.words])
        return row, words.by_pass("lane_overflows", number, config.lanes, lost)

    def _store(self, m: Module, words: Words, rows: Rows, step: dict[str, Any], total: Any, advance: Any) -> Any:
        """Place the third step: store a row, or send it off. Return whether a row is there.

        A row that waits at the output belongs to a last stream, so that nothing is stored twice under back pressure.
        """
        config, width = self.config, self.config.scale_bits
        groups = words.groups("group_stores", step["stores"], step["number"])
        enable = Signal(config.words, name="store_enable")
        with m.If(advance):
            m.d.sync += enable.eq(Mux(step["valid"], groups, 0))
            m.d.sync += self.o.valid.eq(step["valid"] & step["last"])
        held = _moved(m, "store", advance, {"row": total, "number": step["number"], "sum_row": step["sum_row"]})
        made = held["row"]
        rows.store(held["sum_row"], enable, made)
        sent = words.by_pass(
            "row_sent", held["number"], config.columns, lambda q: Cat(made[q * width :], made[: q * width])
        )
        m.d.comb += self.o.payload.as_value().eq(sent)
        return _valid(m, "store", advance, step["valid"])

    def _flag(self, m: Module, arrived: Any) -> None:
        """Place the sticky flags; a write clears those of its columns and wins over what arrives."""
        config, cleared = self.config, Signal(self.config.columns, name="cleared")
        for row in range(config.scale_bits):
            own = [self.write.row == stream * config.scale_bits + row for stream in range(config.streams)]
            part = cleared[row * config.words : (row + 1) * config.words]
            m.d.comb += part.eq((self.layer.en | (self.write.en & Cat(own).any())).replicate(config.words))
        m.d.sync += self.flags.eq((self.flags | arrived) & ~cleared)


def _moved(m: Module, name: str, advance: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return values behind registers that move on where `advance` is 1."""
    kept = {key: Signal(len(value), name=f"{name}_{key}", reset_less=True) for key, value in values.items()}
    with m.If(advance):
        m.d.sync += [kept[key].eq(value) for key, value in values.items()]
    return kept


def _valid(m: Module, name: str, advance: Any, value: Any) -> Signal:
    """Return a valid bit behind a register that a reset clears."""
    valid = Signal(name=f"{name}_valid")
    with m.If(advance):
        m.d.sync += valid.eq(value)
    return valid


def create(config: ScaleArrayConfig) -> ScaleArray:
    """Return the array of a configuration; refuses (UserError) more columns than one block can have."""
    if config.columns > MAX_COLUMNS:
        raise UserError(f"columns = {config.columns}: one array has at most {MAX_COLUMNS} columns")
    return ScaleArray(config)
