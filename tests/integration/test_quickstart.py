"""The quickstart's code blocks run in order, and end in a table that makes sense."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"


def test_the_quickstart_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 5
    assert len([line for line in blocks[0].splitlines() if line]) <= 15, "a 15-line model"
    scope: dict[str, object] = {"__name__": "quickstart"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), scope)
    printed = capsys.readouterr().out
    accuracy = dict(re.findall(r"^(\S+)\s+([\d.]+) %$", printed, re.M))
    assert list(accuracy) == ["FP32", "float", "FP16", "NMPU"]
    assert float(accuracy["FP32"]) > 90
    assert float(accuracy["NMPU"]) > float(accuracy["FP32"]) - 5
