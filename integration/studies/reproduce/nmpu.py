"""The NMPU's paper: what fixed point costs in accuracy against FP16.

Known of the paper are its abstract and public summaries, not its tables: the accuracy of ResNet9 on CIFAR-10 and of
ResNet32 on CIFAR-100 with the fixed-point unit, and their drops against FP16. Its network, its noise and its
calibration are its own; accuracies therefore stand beside ours without a bound, and the drop is the claim.
"""

from __future__ import annotations

from integration.studies.reproduce.paper import Figure, NotRun, Paper

NMPU = Paper(
    name="nmpu",
    citation=(
        "E. Ferro, A. Vasilopoulos, C. Lammie, M. Le Gallo, L. Benini, I. Boybat, A. Sebastian, A Precision-Optimized "
        "Fixed-Point Near-Memory Digital Processing Unit for Analog In-Memory Computing, 2024, arXiv 2402.07549"
    ),
    study="nmpu.toml",
    figures=(
        Figure(what="FP32, no tile", setting={"digital": "fp32"}, measure="accuracy"),
        Figure(what="analog + float", setting={"digital": "float"}, measure="accuracy"),
        Figure(
            what="analog + FP16, ResNet9 on CIFAR-10",
            setting={"digital": "fp16"},
            measure="accuracy",
            paper=86.77,
            remark="derived, 86.65 + 0.12; its network, noise and calibration are its own",
        ),
        Figure(
            what="analog + NMPU, UQ(1,7) SQ(7,1)",
            setting={"digital": "nmpu", "nmpu.scale": "UQ(1,7)"},
            measure="accuracy",
            paper=86.65,
        ),
        Figure(
            what="drop of the NMPU against FP16, points",
            setting={"digital": "nmpu", "nmpu.scale": "UQ(1,7)"},
            measure="drop",
            paper=0.12,
            bound=0.12,
        ),
        Figure(what="drop of analog + float, points", setting={"digital": "float"}, measure="drop"),
        Figure(
            what="drop with UQ(1,3) scales, the negative control",
            setting={"digital": "nmpu", "nmpu.scale": "UQ(1,3)"},
            measure="drop",
            above=1.0,
        ),
    ),
    not_run=(
        NotRun(
            what="ResNet32 on CIFAR-100: accuracy with the NMPU; drop",
            paper="65.06; 0.40",
            why="no checkpoint of this network ships yet",
        ),
        NotRun(
            what="area, clock, power and latency",
            paper="not seen",
            why="the body of the paper could not be read; a study of accuracy would not answer it",
        ),
    ),
)
"""arXiv 2402.07549, accuracy."""
