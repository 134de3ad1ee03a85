"""The NMPU's side of the benches; `golden_model.nmpu` is its specification."""

from cocotb_tests.contract import Contract
from cocotb_tests.nmpu import stimulus
from cocotb_tests.nmpu.configurations import CASES, EXTRA_CASES, MEASURED, PLANTED, TARGETS, TRACED
from cocotb_tests.nmpu.coverage import count
from cocotb_tests.nmpu.misread import MISREADINGS
from cocotb_tests.nmpu.plan import POINTS
from cocotb_tests.nmpu.planted import planted
from cocotb_tests.nmpu.ports import ports

CONTRACT = Contract(
    unit="nmpu",
    cases=CASES,
    extra=EXTRA_CASES,
    traced=TRACED,
    measured=MEASURED,
    ports=ports,
    random=stimulus.random,
    words=stimulus.words,
    corners=stimulus.corners,
    answer=stimulus.answer,
    count=count,
    points=POINTS,
    misreadings=MISREADINGS,
    planted=PLANTED,
    faults=planted,
    targets=TARGETS,
)
