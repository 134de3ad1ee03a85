"""What has to be proved of the NMPU's stages, in the order of the data: each group of stages against its formula.

Which stages there are says the schedule of a configuration, which of them make one formula `formulas.FORMULAS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from golden_model.fixed import Range
from golden_model.nmpu_config import NmpuConfig
from hdl.nmpu import Schedule
from hdl.nmpu.accumulate import Gather
from hdl.nmpu.affine import Multiply
from hdl.nmpu.datapath import Datapath
from hdl.nmpu.final import AddResidual
from hdl.nmpu.stage import Stage
from synth.prove.chain import chain
from synth.prove.formulas import FORMULAS
from synth.prove.obligation import Obligation


def obligations(config: NmpuConfig) -> Iterator[Obligation]:
    """Return what has to be proved of the stages that a configuration has, in the order of the data.

    What a group takes as its total is the range that the group in front was proved to stay in; else an AssertionError.
    """
    before: Range | None = None
    for stages in groups(config):
        each = obligation(stages)
        taken = each.part.inputs.get("total", before)
        assert before == taken, f"{each.name} takes {taken} and is given {before}"
        before = each.part.outputs.get("total_out", each.part.outputs.get("total"))
        yield each


def groups(config: NmpuConfig) -> Iterator[list[Stage]]:
    """Return the stages of a configuration, those of one formula together; a KeyError where some make none."""
    stages = Schedule(config).stages
    beside = [stage for stage in stages if stage.beside]
    rest: list[Stage] = []
    for stage in stages:
        if isinstance(stage, AddResidual):  # the operand's product is made beside others: it goes with its adder
            rest += beside
        if stage not in beside:
            rest.append(stage)
    apart = Datapath(config).carry_save  # two rows between them: one by one they are proved sooner
    formulas = [each for each in FORMULAS if not apart or each[:2] != (Multiply, Gather)]
    while rest:
        kinds = tuple(type(stage) for stage in rest)
        size = next((len(each) for each in formulas if kinds[: len(each)] == each), 0)
        if not size:
            raise KeyError(kinds)
        yield rest[:size]
        rest = rest[size:]


def obligation(stages: Sequence[Stage], faulty: Sequence[Stage] | None = None) -> Obligation:
    """Return what has to be proved of the stages of one formula; `faulty` stand in for them in the part."""
    formula = FORMULAS[tuple(type(stage) for stage in stages)]
    return formula(stages[0].config, chain(faulty or stages))
