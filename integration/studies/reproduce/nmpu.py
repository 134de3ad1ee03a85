"""The NMPU's paper: what fixed point costs in accuracy against FP16.

Known of the paper are its abstract and public summaries, not its tables: the accuracy of ResNet9 on CIFAR-10 and of
ResNet32 on CIFAR-100 with the fixed-point unit, and their drops against FP16. Its network, its noise and its
calibration are its own; accuracies are therefore compared as levels, and the drop is the claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integration.studies.reproduce.paper import Figure, NotRun, Paper

CONTROL = {"nmpu.scale": "UQ(1,3)"}
SHIFT = {"nmpu.max_column_shift": 3, "nmpu.cut_pre": 4}
"""A shift of 0 to 3 for every column, and products cut to what sums keep."""
RECOMMENDED = {**SHIFT, "nmpu.offset": "SQ(7,3)", "nmpu.guard": 4}
"""With finer offsets and partial sums; docs/precision.md says how both formats were found."""
SMALLEST = {**SHIFT, "nmpu.scale": "UQ(1,6)", "nmpu.int8": True}
"""With a bit of the scale less, and partial sums that saturate at INT8."""


def _units(
    setting: Mapping[str, Any], *, fp16: float | None = None, nmpu: float | None = None, lossless: float | None = None
) -> tuple[Figure, ...]:
    """Return the figures of one network: accuracies of the chain with each unit, and their drops.

    `fp16` and `nmpu` are the paper's accuracies, their difference its drop; `lossless` bounds that of the recommended
    format.
    """
    claim = None if fp16 is None or nmpu is None else round(fp16 - nmpu, 2)
    unit = {**setting, "digital": "nmpu"}
    return (
        Figure(what="FP32, no tile", setting={**setting, "digital": "fp32"}, measure="accuracy"),
        Figure(what="analog + float", setting={**setting, "digital": "float"}, measure="accuracy"),
        Figure(
            what="analog + FP16",
            setting={**setting, "digital": "fp16"},
            measure="accuracy",
            paper=fp16,
            least=fp16,
            remark="" if claim is None else f"paper's derived, {nmpu} + {claim}",
        ),
        Figure(what="analog + NMPU, UQ(1,7) SQ(7,1)", setting=unit, measure="accuracy", paper=nmpu),
        Figure(what="its drop against FP16, points", setting=unit, measure="drop", paper=claim, bound=claim),
        Figure(
            what="drop of the format that we recommend",
            setting=unit | RECOMMENDED,
            measure="drop",
            bound=lossless,
        ),
        Figure(what="drop of analog + float", setting={**setting, "digital": "float"}, measure="drop"),
        Figure(
            what="drop with UQ(1,3) scales, the negative control", setting=unit | CONTROL, measure="drop", above=1.0
        ),
    )


def _network(name: str, network: str, dataset: str, *, fp16: float, nmpu: float, lossless: float) -> tuple[Figure, ...]:
    """Return the figures of a network trained under noise, and trained plainly."""
    plain = {"network": network, "dataset": dataset, "checkpoint": f"{network}_{dataset}"}
    noisy = plain | {"checkpoint": f"{network}_{dataset}_hermes"}
    least = Figure(
        what="drop of the smallest format",
        setting={**noisy, "digital": "nmpu"} | SMALLEST,
        measure="drop",
        bound=round(fp16 - nmpu, 2),
    )
    trained = [
        Figure(what=f"trained plainly: {text}", setting={**plain, "digital": unit}, measure="accuracy")
        for unit, text in (("fp32", "FP32, no tile"), ("fp16", "analog + FP16"), ("nmpu", "analog + NMPU"))
    ]
    figures = (*_units(noisy, fp16=fp16, nmpu=nmpu, lossless=lossless), least, *trained)
    return tuple(figure.under(name) for figure in figures)


def _a_day_later(name: str, network: str, dataset: str) -> tuple[Figure, ...]:
    """Return the figures of a network trained under noise, a day behind its calibration."""
    day = {
        "network": network,
        "dataset": dataset,
        "checkpoint": f"{network}_{dataset}_hermes",
        "calibration.largest_scale": 1.3,
        "age.seconds": 86400,
    }
    return tuple(
        Figure(
            what=f"a day later, {text}: analog + {unit.upper()}",
            setting={**day, "age.compensation": compensation, "digital": unit},
            measure="accuracy",
        ).under(name)
        for compensation, text in (
            ("none", "nothing rewritten"),
            ("global", "one factor a tile"),
            ("column", "one a column"),
        )
        for unit in ("fp16", "nmpu")
    )


NMPU = Paper(
    name="nmpu",
    citation=(
        "E. Ferro, A. Vasilopoulos, C. Lammie, M. Le Gallo, L. Benini, I. Boybat, A. Sebastian, A Precision-Optimized "
        "Fixed-Point Near-Memory Digital Processing Unit for Analog In-Memory Computing, 2024, arXiv 2402.07549"
    ),
    study="nmpu.toml",
    figures=(
        *_network("ResNet9, CIFAR-10", "resnet9s", "cifar10", fp16=86.77, nmpu=86.65, lossless=0.05),
        *_a_day_later("ResNet9, CIFAR-10", "resnet9s", "cifar10"),
        *_network("ResNet32, CIFAR-100", "resnet32", "cifar100", fp16=65.46, nmpu=65.06, lossless=0.10),
        *_a_day_later("ResNet32, CIFAR-100", "resnet32", "cifar100"),
    ),
    quick_figures=_units({}),
    not_run=(
        NotRun(
            what="area, clock, power and latency",
            paper="not seen",
            why="the body of the paper could not be read; a study of accuracy would not answer it",
        ),
    ),
)
"""arXiv 2402.07549, accuracy."""
