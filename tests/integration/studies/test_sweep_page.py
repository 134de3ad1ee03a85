"""docs/sweep.md: its study is the file beside it, its numbers are right, and its task runs."""

import re
import tomllib
from pathlib import Path

import pytest

from integration.studies.accuracy import ACCURACY
from integration.studies.sweep.engine import check_plots, expand, sweep
from integration.studies.sweep.study import parse, read
from integration.studies.sweep.task import code_of

DOCS = Path(__file__).parents[3] / "docs"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "sweep.md").read_text(encoding="utf-8"), re.S)


def test_the_study_of_the_page() -> None:
    (text,) = blocks("toml")
    assert tomllib.loads(text) == tomllib.loads((DOCS / "formats.toml").read_text(encoding="utf-8"))
    study = read(DOCS / "formats.toml")
    check_plots(study, ACCURACY)
    assert study.size == len(expand(study, ACCURACY, code_of("accuracy"))) == 75
    quick = read(DOCS / "formats.toml", quick=True)
    assert quick.size == len(expand(quick, ACCURACY, code_of("accuracy"))) == 10


def test_the_task_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = blocks("python")
    (tmp_path / "pendulum.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    study = parse('task = "pendulum:PENDULUM"\n[grid]\nlength = [0.5, 1.0, 2.0]\n', "s", name="s")
    rows = sweep(study, tmp_path / "o").rows
    assert sorted(round(row.result["period"], 3) for row in rows) == [1.419, 2.006, 2.837]


def test_the_files_of_the_folder(tmp_path: Path) -> None:
    """The page's table names what a sweep leaves, nothing else."""
    listed = re.findall(r"^\| `(\S+)` \|", (DOCS / "sweep.md").read_text(encoding="utf-8"), re.M)
    sweep(parse('task = "trivial_tasks:TRIVIAL"\n', "s", name="s"), tmp_path)
    assert sorted(listed) == sorted([*(p.name for p in tmp_path.iterdir()), "report.html"])
