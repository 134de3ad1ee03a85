"""What of the FP16 unit's contract can be judged without a simulator."""

from __future__ import annotations

import numpy as np
import pytest

from cocotb_tests.contract import Case
from cocotb_tests.fp16_unit.configurations import CASES
from cocotb_tests.fp16_unit.corners import corners
from cocotb_tests.fp16_unit.draw import random
from cocotb_tests.fp16_unit.trace import answer, trace


@pytest.mark.parametrize("entry", CASES, ids=lambda entry: str(entry.name))
def test_trace_ends_where_the_golden_model_does(entry: Case) -> None:
    """On corners and on random words: the same output field, the same bits, the same flags."""
    rng = np.random.default_rng(3)
    given = [*corners(entry.config, rng, 24), *(random(entry.config, rng, 6) for _ in range(24))]
    for stimulus in given:
        found, said = trace(entry.config, stimulus), answer(entry.config, stimulus)
        np.testing.assert_array_equal(found.values, said.fields[found.kind])
        np.testing.assert_array_equal(found.flagged, said.flagged)
        assert not any(codes.any() for name, codes in said.fields.items() if name != found.kind)
