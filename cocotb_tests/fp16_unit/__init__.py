"""The FP16 unit's side of the benches; `golden_model.fp16_unit` is its specification."""

from cocotb_tests.contract import Contract
from cocotb_tests.fp16_unit.configurations import CASES, EXTRA_CASES, MEASURED, PLANTED, TARGETS, TRACED
from cocotb_tests.fp16_unit.corners import corners
from cocotb_tests.fp16_unit.coverage import count
from cocotb_tests.fp16_unit.draw import random, words
from cocotb_tests.fp16_unit.misread import MISREADINGS
from cocotb_tests.fp16_unit.plan import POINTS
from cocotb_tests.fp16_unit.planted import planted
from cocotb_tests.fp16_unit.ports import ports
from cocotb_tests.fp16_unit.trace import answer

CONTRACT = Contract(
    unit="fp16_unit",
    cases=CASES,
    extra=EXTRA_CASES,
    traced=TRACED,
    measured=MEASURED,
    ports=ports,
    random=random,
    words=words,
    corners=corners,
    answer=answer,
    count=count,
    points=POINTS,
    misreadings=MISREADINGS,
    planted=PLANTED,
    faults=planted,
    targets=TARGETS,
)
