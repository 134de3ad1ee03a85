"""`nmpu sweep`, `nmpu report` and `nmpu reproduce` on the command line."""

import json
from pathlib import Path

import pytest

from integration.cli import main

STUDY = 'task = "trivial_tasks:TRIVIAL"\nseeds = 2\n[grid]\nshape.width = [1, 2]\n[quick]\nseeds = 1\n'


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NMPU_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(STUDY)


def run(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    return 0


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a mistake; return its one line. Nothing may be left behind that was not there."""
    before = sorted(Path.cwd().rglob("*"))
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err and captured.err.startswith("nmpu: ") and captured.err.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
    return captured.err


def test_sweep_then_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sweep", "s.toml", "--json", "t.json") == 0
    assert "4 of 4 points: out/sweeps/s/results.jsonl, out/sweeps/s/report.html" in capsys.readouterr().out
    page = Path("out/sweeps/s/report.html")
    text = page.read_text()
    assert "nmpu sweep s.toml --json t.json" in text
    assert [line["seeds"] for line in json.loads(Path("t.json").read_text())["lines"]] == [2, 2]
    page.unlink()
    assert run("report", "out/sweeps/s") == 0
    assert page.read_text() == text
    assert run("report", "out/sweeps/s", "-o", "other.html") == 0 and Path("other.html").read_text() == text
    assert run("sweep", "s.toml", "--quick") == 0 and run("sweep", "s.toml", "--seeds", "3", "-o", "here") == 0
    assert "2 of 2 points: out/sweeps/s-quick/" in (out := capsys.readouterr().out) and "6 of 6 points: here/" in out


def test_failures_end_in_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("s.toml").write_text(STUDY + "[base]\nfail = true\n")
    assert run("sweep", "s.toml") == 1
    text = capsys.readouterr().out
    assert "failed: seed = 0, shape.width = 1: ValueError: no luck with seed 0 <b>" in text and "--retry" in text
    assert run("sweep", "s.toml", "--retry") == 1 and run("sweep", "s.toml") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sweep", "none.toml"), "none.toml cannot be read"),
        (("sweep", "s.toml", "--limit", "3"), "4 points (2 seed x 2 shape.width) are more than 3"),
        (("sweep", "s.toml", "--workers", "2", "--scheduler", "tcp://x:1"), "exclude each other"),
        (("sweep", "huge.toml"), "1,000,000,000 points"),
        (("sweep", "empty.toml"), "no points, shape.width has no values"),
        (("sweep", "wrong.toml"), "did you mean width?"),
        (("sweep", "s.toml", "-o", "s.toml/inside"), "cannot write s.toml/inside"),
        (("sweep", "s.toml", "--json", "s.toml/t.json"), "cannot write s.toml"),
        (("report", "nowhere"), "`nmpu sweep` writes it"),
        (("reproduce", "nmpv"), "there are nmpu"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
    Path("huge.toml").write_text(STUDY.replace("seeds = 2", "seeds = 500_000_000"))
    Path("empty.toml").write_text(STUDY.replace("[1, 2]", "[]"))
    Path("wrong.toml").write_text(STUDY.replace("shape.width", "shape.widht"))
    assert message in refused(capsys, *arguments)


def test_more_threads_than_cores_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("sweep", "s.toml", "--workers", "2", "--threads", "500") == 0
    assert "2 workers of 500 threads share" in capsys.readouterr().err
