"""Fixed-point hardware against the golden model, every value of small ranges."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from golden_model import fixed as golden
from golden_model.errors import UserError
from golden_model.fixed import Range, Rounding
from hdl.fixed import Number, add_carry, add_negated, round_shift, saturate, shape

SIGNED, UNSIGNED = Range(-37, 29), Range(0, 53)


class Bench(wiring.Component):
    """One value in, many results out: `build(m, number)` returns numbers by name."""

    def __init__(self, of, build):
        super().__init__({"value": In(shape(of))})
        self.of, self.build = of, build
        self.results = {}

    def elaborate(self, platform):
        m = Module()
        for index, (key, number) in enumerate(self.build(m, Number(self.value, self.of)).items()):
            self.results[key] = Signal(shape(number.range), name=f"result_{index}")
            m.d.comb += self.results[key].eq(number.value)
        return m


def sweep(of, build):
    """Return, for every value of a range, the results by name."""
    bench = Bench(of, build)
    found = {}

    async def process(ctx):
        for value in range(of.lo, of.hi + 1):
            ctx.set(bench.value, value)
            found[value] = {key: ctx.get(result) for key, result in bench.results.items()}

    simulator = Simulator(bench)
    simulator.add_testbench(process)
    simulator.run()
    return found


@pytest.mark.parametrize("of", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
def test_round_shift_is_the_golden_model_in_every_mode_and_distance(of):
    keys = [(mode, bits) for mode in Rounding for bits in range(10)]

    def build(m, number):
        return {(mode, bits): round_shift(number, bits, mode) for mode, bits in keys}

    for value, results in sweep(of, build).items():
        assert results == {(mode, bits): golden.round_shift(value, bits, mode) for mode, bits in keys}, value


def test_round_shift_refuses_to_invent_bits():
    with pytest.raises(UserError, match=r"round_shift by -1 bits"):
        round_shift(Number(Signal(4), Range(0, 15)), -1, Rounding.FLOOR)


@pytest.mark.parametrize("of", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
def test_saturate_is_the_golden_model_and_tells(of):
    limits = [Range(-8, 7), Range(-7, 7), Range(0, 15), Range(-64, 63), Range(0, 63), Range(-37, 5), Range(-1, 100)]

    def build(m, number):
        results = {}
        for index, to in enumerate(limits):
            kept, clipped = saturate(m, number, to, f"s{index}")
            results |= {(index, "kept"): kept, (index, "clipped"): clipped}
        return results

    for value, results in sweep(of, build).items():
        for index, to in enumerate(limits):
            kept = golden.saturate(value, to)
            assert (results[index, "kept"], results[index, "clipped"]) == (kept, kept != value), (value, to)


def test_saturate_only_if_passes_the_value_where_it_is_off():
    def build(m, number):
        off, flag_off = saturate(m, number, Range(-8, 7), "off", Signal(), SIGNED)
        on, flag_on = saturate(m, number, Range(-8, 7), "on", Signal(init=1), SIGNED)
        return {"off": off, "flag_off": flag_off, "on": on, "flag_on": flag_on}

    for value, results in sweep(SIGNED, build).items():
        kept = min(max(value, -8), 7)
        assert results == {"off": value, "flag_off": 0, "on": kept, "flag_on": kept != value}


@pytest.mark.parametrize("addend", [-9, 0, 14])
def test_adders_with_a_carry_and_with_a_sign(addend):
    def build(m, number):
        constant = Number(Signal(shape(Range(-16, 15)), init=addend), Range(-16, 15))
        return {
            "carry 0": add_carry(m, number, constant, Signal(), "a"),
            "carry 1": add_carry(m, number, constant, Signal(init=1), "b"),
            "plus": add_negated(m, number, Signal(), constant, "c"),
            "minus": add_negated(m, number, Signal(init=1), constant, "d"),
        }

    for value, results in sweep(SIGNED, build).items():
        sums = (value + addend, value + addend + 1, value + addend, -value + addend)
        assert results == dict(zip(results, sums, strict=True))


def test_relu_and_alignment():
    def build(m, number):
        shifts = {shift: Signal(2, init=shift) for shift in range(4)}
        aligned = {shift: number.aligned(distance, 3) for shift, distance in shifts.items()}
        return aligned | {"relu": number.relu(Signal(init=1)), "off": number.relu(Signal())}

    for value, results in sweep(SIGNED, build).items():
        assert results == {s: value << (3 - s) for s in range(4)} | {"relu": max(value, 0), "off": value}


def test_shapes_are_the_narrowest():
    assert shape(Range(-1_052_417, 1_052_353)).width == 22
    assert (shape(Range(0, 255)).width, shape(Range(0, 255)).signed) == (8, False)
    assert shape(Range(0, 0)).width == 1
