"""pytest runner of the packages: as good as the plain unit, a bus as its page says, a bench that sees faults."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

import hdl.apb.wrapper
import hdl.fp16_unit.unit
import hdl.frame
import hdl.nmpu.unit
import hdl.store
import synth.package.design
from cocotb_tests.icarus import missing
from cocotb_tests.package import run_bus, run_packaged
from cocotb_tests.units import CONTRACTS
from synth.registry import UNITS

pytestmark = [
    pytest.mark.simulator,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

PACKAGED = [known for known in CONTRACTS.values() if UNITS[known.unit].hosted]
EVERY = [(known.unit, entry.name) for known in PACKAGED for entry in known.cases]
SOON = [("nmpu", "single_1x1"), ("nmpu", "every_stage_2x2")]
"""What every run of the tests shows: registers and memories as parameter stores. The rest is `slow`."""
BINS = {"fact", "status", "read_back", "hole", "refused", "load", "words", "busy", "held", "shared.read", "reset"}
"""What every configuration must have met."""


def _cases(soon: list[tuple[str, str]]) -> list[ParameterSet]:
    """Return every case, those that are not for every day marked."""
    return [pytest.param(*case, marks=[] if case in soon else [pytest.mark.slow]) for case in EVERY]


@pytest.mark.parametrize(("unit", "name"), _cases(SOON))
def test_the_packaged_unit_matches_the_golden_model(
    unit: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Words, corners, stalls, loads and resets of the plain unit's regression, tolerance 0; the whole of it if slow."""
    whole = request.node.get_closest_marker("slow") is not None
    row = run_packaged(unit, name, tmp_path / "run", **({} if whole else {"words": 100, "corners": 3}))
    assert not row.mismatches and row.words >= 100 and row.resets > 0


@pytest.mark.parametrize(("unit", "name"), _cases(SOON[1:2]))
def test_the_bus_keeps_its_contract(unit: str, name: str, tmp_path: Path) -> None:
    """Every register, refusal and collision of bus and streams; words bit for bit."""
    outcome = run_bus(unit, name, tmp_path)
    assert not outcome.mismatches
    met = {key for key, hits in outcome.bins.items() if hits}
    assert met >= BINS and outcome.words >= 600
    if outcome.bins["flags_up"]:
        assert "clear.same_cycle" in met


FAULTS = {
    "parameters are written while words are under way": ("apb", "(~(parameter | layer) | unit.idle)", "1"),
    "a word is taken in the cycle of a parameter access": ("apb", "touch | (hold & host.first)", "hold & host.first"),
    "hold falls inside a vector": ("apb", "(hold & host.first)", "hold"),
    "hold does nothing": ("apb", "(hold & host.first)", "0"),
    "any strobe is enough": ("apb", "apb.pstrb.all()", "apb.pstrb.any()"),
    "alignment is not looked at": ("apb", "there & ~apb.paddr[:2].any()", "there"),
    "addresses between flags and parameters alias": (
        "apb",
        "inside & (column",
        "(apb.paddr >= of.flags + 64) & (column",
    ),
    "a column that is not there answers": ("apb", "(column < of.count) & ", ""),
    "a field that is not there answers": ("apb", " & (field < len(of.parameter_fields))", ""),
    "what is only read can be written": ("apb", "(Cat(fixed).any() & ~apb.pwrite)", "Cat(fixed).any()"),
    "signs are not extended": ("apb", "if field.signed else Const", "if False else Const"),
    "errors carry data": ("apb", "Mux(read & ~parameter, other, 0)", "other"),
    "a clear is taken from every write": ("apb", "self._clears(write & flags)", "self._clears(write)"),
    "a clear wins over a set": (
        "frame",
        "(kept | arrived) & ~cleared",
        "(flags | arrived) & ~cleared & ~self.host.clear",
    ),
    "a clear clears nothing": ("frame", "flags & ~self.host.clear", "flags"),
    "read-back shows the neighbouring lane": (
        "store",
        "Mux(self.host_read, lane, 0)",
        "Mux(self.host_read, lane ^ 3, 0)",
    ),
    "read-back shows word 0": ("store", "Mux(self.host_read, word, own)", "Mux(self.host_read, 0, own)"),
    "layer registers are read in another order": (
        "frame",
        "Cat(registers.values())",
        "Cat(reversed(registers.values()))",
    ),
}
"""By name: the source, what stands in it once, and what is built instead."""

_SOURCES = {"apb": hdl.apb.wrapper, "frame": hdl.frame, "store": hdl.store}


def _faulty(source: str, right: str, wrong: str) -> types.ModuleType:
    """Return the module of a source with a fault in it."""
    sound = _SOURCES[source]
    text = Path(str(sound.__file__)).read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{right!r} stands {text.count(right)} times in {sound.__file__}"
    module = types.ModuleType(sound.__name__)
    module.__file__ = sound.__file__
    exec(compile(text.replace(right, wrong), str(sound.__file__), "exec"), module.__dict__)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_bench_sees_a_planted_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, in a unit of three lanes of five columns."""
    source, right, wrong = FAULTS[fault]
    faulty = _faulty(source, right, wrong)
    if source == "apb":
        monkeypatch.setattr(synth.package.design, "ApbUnit", faulty.ApbUnit)
    elif source == "store":
        monkeypatch.setattr(hdl.frame, "Store", faulty.Store)
    else:
        monkeypatch.setattr(hdl.nmpu.unit, "Frame", faulty.Frame)
    assert run_bus("nmpu", "odd_3x5", tmp_path, words=200).mismatches
