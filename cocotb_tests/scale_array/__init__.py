"""The scale-factor array's side of the benches; `golden_model.scale_array` is its specification."""

from cocotb_tests.contract import Contract
from cocotb_tests.scale_array import stimulus
from cocotb_tests.scale_array.configurations import CASES, EXTRA_CASES, MEASURED, PLANTED, TARGETS, TRACED
from cocotb_tests.scale_array.corners import corners
from cocotb_tests.scale_array.coverage import count
from cocotb_tests.scale_array.misread import MISREADINGS
from cocotb_tests.scale_array.plan import POINTS
from cocotb_tests.scale_array.planted import planted
from cocotb_tests.scale_array.ports import ports

CONTRACT = Contract(
    unit="scale_array",
    cases=CASES,
    extra=EXTRA_CASES,
    traced=TRACED,
    measured=MEASURED,
    ports=ports,
    random=stimulus.random,
    words=stimulus.words,
    corners=corners,
    answer=stimulus.answer,
    count=count,
    points=POINTS,
    misreadings=MISREADINGS,
    planted=PLANTED,
    faults=planted,
    targets=TARGETS,
    totals=stimulus.totals,
)
