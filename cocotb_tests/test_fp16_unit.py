"""What of the FP16 unit's contract can be judged without a simulator."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from cocotb_tests.contract import Case, Stimulus
from cocotb_tests.fp16_unit.configurations import CASES
from cocotb_tests.fp16_unit.corners import ROUND, corners, layers
from cocotb_tests.fp16_unit.coverage import count
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


def test_every_layer_setting_has_its_turn() -> None:
    """In one round, whatever the seed."""
    found = {tuple(layer.items()) for layer in islice(layers(np.random.default_rng(1)), ROUND)}
    assert len(found) == 64


def test_a_corner_counts_only_where_it_is_seen() -> None:
    """A tie of the last multiply-add leaves no trace in a saturated code, and one in logits."""
    config = CASES[0].config
    ones = np.ones(3, np.int64)
    columns = dict.fromkeys(("scale_p", "scale_n", "gamma"), 0 * ones) | {"offset": 0 * ones, "receive": 0x3C00 * ones}
    columns |= {"beta": 0x6801 * ones}  # 2,050: with 1 an exact tie
    words = {name: 0 * ones[None] for name in ("first", "second", "received")} | {"residual": ones[None]}
    layer = dict.fromkeys(("relu_before", "relu_after", "receive"), 0) | {"add_residual": 1, "last": 1}
    seen, hidden = (
        count(config, Stimulus(columns=columns, layer=layer | {"logits": logits}, words=words)) for logits in (1, 0)
    )
    assert seen["x.tie_odd_positive"] == 3 and hidden["x.tie_odd_positive"] == 0
