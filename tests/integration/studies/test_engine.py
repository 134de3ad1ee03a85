"""The engine: nothing computed twice, the same files wherever points were computed, failures kept."""

import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import trivial_tasks
from trivial_tasks import TRIVIAL

from golden_model.errors import UserError
from integration.studies.sweep import processes, store
from integration.studies.sweep.engine import Interrupted, Tally, expand, sweep
from integration.studies.sweep.job import Executor, InProcess, Job, Outcome, perform
from integration.studies.sweep.processes import POOLS, Processes, _Queue
from integration.studies.sweep.store import read_results
from integration.studies.sweep.study import Study, parse
from integration.studies.sweep.task import code_of, source_hash

GRID = "seeds = 3\n[grid]\nshape.width = [1, 2, 3, 4]\n"


def study(text: str = GRID, task: str = "trivial_tasks:TRIVIAL") -> Study:
    return parse(f'task = "{task}"\n{text}', "s.toml", name="s")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each computation of a point."""
    path = tmp_path / "ledger"
    monkeypatch.setenv("LEDGER", str(path))
    return path


def computed(ledger: Path) -> Counter[str]:
    return Counter(ledger.read_text().splitlines()) if ledger.exists() else Counter()


def test_a_field_that_reaches_no_seed_of_a_line_does_not_split_it() -> None:
    """Rows of fewer seeds: the point that both rows lead to is one line over all of its seeds."""
    text = """
        seeds = 3
        [[list]]
        label = ["a", "b"]
        pause = 1.0
        [[list]]
        label = ["a", "c"]
        pause = 2.0
        seeds = 1
    """
    points = expand(study(text), TRIVIAL, code_of("trivial_tasks:TRIVIAL"))
    shown = sorted((p.setting["label"], p.setting.get("pause"), p.setting["seed"]) for p in points)
    assert shown == [("a", None, 0), ("a", None, 1), ("a", None, 2), *(("b", 1.0, s) for s in range(3)), ("c", 2.0, 0)]


def test_a_point_is_computed_once(tmp_path: Path, ledger: Path) -> None:
    tallies: list[tuple[int, int, int]] = []

    def tell(tally: Tally) -> None:
        tallies.append((tally.cached, tally.to_do, tally.done))

    first = sweep(study(), tmp_path / "o", progress=tell, command="nmpu sweep s.toml")
    assert len(first.rows) == 12 and tallies == [(0, 12, done) for done in range(13)]
    before = (tmp_path / "o" / "results.jsonl").read_bytes()
    again = sweep(study(), tmp_path / "o", progress=tell)
    assert tallies[13:] == [(12, 0, 0)] and again.rows == first.rows and len(again.runs) == 1
    assert (tmp_path / "o" / "results.jsonl").read_bytes() == before
    more = sweep(study(GRID.replace("3, 4]", "3, 4, 5]")), tmp_path / "o", progress=tell)
    assert tallies[14] == (12, 3, 0) and len(more.rows) == 15 and [run["command"] for run in more.runs][1:] == [""]
    assert set(computed(ledger).values()) == {1} and len(computed(ledger)) == 15
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "lock", "log.jsonl", "results.jsonl", "runs.jsonl", "study.toml",
    ]  # fmt: skip


def test_results_are_sorted_and_carry_their_provenance(tmp_path: Path) -> None:
    results = sweep(study(), tmp_path, command="nmpu sweep s.toml")
    header, *rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [row["hash"] for row in rows] == sorted(row["hash"] for row in rows)
    assert header["source"] == source_hash(["trivial_tasks", "golden_model.errors"]) and header["text"] == study().text
    assert rows[0].keys() == {"hash", "place", "setting", "configuration", "result"}
    beside, *times = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert beside["runs"][0]["command"] == "nmpu sweep s.toml" and "python" in beside["runs"][0]["versions"]
    assert [time["hash"] for time in times] == [row["hash"] for row in rows] and times[0]["process"] == os.getpid()
    assert read_results(tmp_path) == results
    assert (tmp_path / "study.toml").read_text() == study().text


def test_changed_source_computes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "changing_task.py"
    text = "from trivial_tasks import *\nMINE = Task(base=Trivial(), run=run, measures=TRIVIAL.measures)\n"
    monkeypatch.syspath_prepend(str(tmp_path))
    hashes = []
    for addition in ("", "\r\n# the same code by another text\r\n"):
        module.write_text(text + addition, newline="")
        code_of.cache_clear()  # as a new process would
        hashes.append({row.hash for row in sweep(study(task="changing_task:MINE"), tmp_path / "o").rows})
    assert not hashes[0] & hashes[1] and len(hashes[1]) == 12
    assert len(store.Store.read(tmp_path / "o").outcomes) == 24


@pytest.mark.parametrize("executor", [InProcess(), Processes(workers=2)], ids=str)
def test_failures_are_kept_and_retried(tmp_path: Path, ledger: Path, executor: Executor) -> None:
    s = study("[grid]\nfail = [false, true]\nseed = [1, 2]")
    results = sweep(s, tmp_path / "o", executor=executor)
    assert {f.error for f in results.failures} == {f"ValueError: no luck with seed {n} <b>" for n in (1, 2)}
    assert len(results.rows) == 2 and all("in run" in f.trace for f in results.failures)
    assert read_results(tmp_path / "o") == results
    (tmp_path / "ledger.mended").touch()
    assert len(sweep(s, tmp_path / "o", executor=executor).failures) == 2
    assert sum(computed(ledger).values()) == 4
    results = sweep(s, tmp_path / "o", executor=executor, retry=True)
    assert not results.failures and len(results.rows) == 4
    assert sum(computed(ledger).values()) == 6


def test_two_processes_write_the_same_file(tmp_path: Path) -> None:
    here = study(GRID + "[[list]]\nfail = false\n[[list]]\nfail = true\n")
    sweep(here, tmp_path / "one")
    sweep(here, tmp_path / "two", executor=Processes(workers=2))
    one, two = ((tmp_path / name / "results.jsonl").read_bytes() for name in ("one", "two"))
    assert one == two and one.count(b"\n") == 25
    workers = {record["process"] for record in read_results(tmp_path / "two").times.values()}
    assert len(workers) == 2 and os.getpid() not in workers


def test_workers_have_their_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in POOLS:
        monkeypatch.setenv(name, "7")
    with processes._environment(dict.fromkeys(POOLS, "1")):
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    with processes._environment({"OMP_NUM_THREADS": "1"}):
        pass
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_worker_goes_on_with_what_it_shares() -> None:
    """Two workers, two chains of three: each keeps its own, and the one that is done first helps the other."""
    queue = _Queue()
    for share in ("a", "a", "a", "b", "b", "b", "b", "b"):
        queue.put(Job(hash=share, task="t", fields={}, share=share))
    first = queue.take(None, [None, None])
    second = queue.take(None, ["a", None])
    assert first is not None and second is not None and (first.share, second.share) == ("a", "b")
    assert [queue.take("a", ["a", "b"]).share for _ in range(4)] == ["a", "a", "b", "b"]  # type: ignore[union-attr]  # the queue is not empty
    assert queue.take("b", ["b", "b"]) is not None and queue.take("b", ["b", "b"]) is not None
    assert queue.take("b", ["b", "b"]) is None


def test_a_killed_workers_point_is_given_to_another(tmp_path: Path, ledger: Path) -> None:
    """The point that runs when `.die` stands kills its worker, once: it alone is computed twice."""
    sweep(study(), tmp_path / "calm")
    ledger.unlink()
    (tmp_path / "ledger.die").touch()
    results = sweep(study(), tmp_path / "o", executor=Processes(workers=2))
    assert sorted(computed(ledger).values()) == [1] * 11 + [2] and not results.failures
    assert (tmp_path / "o" / "results.jsonl").read_bytes() == (tmp_path / "calm" / "results.jsonl").read_bytes()


def test_a_point_that_kills_every_worker_fails_alone(tmp_path: Path, ledger: Path) -> None:
    results = sweep(
        study("[grid]\ndie = [false, true]\nseed = [1, 2, 3]"), tmp_path / "o", executor=Processes(workers=2)
    )
    assert len(results.rows) == 3 and len(results.failures) == 3
    assert {f.error for f in results.failures} == {"the worker died with this point 3 times (signal 9); out of memory?"}


def test_workers_of_other_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def open(self, task: str) -> object:
            def run(jobs: list[Job]):  # type: ignore[no-untyped-def]  # an executor as a user may write it
                for job in jobs:
                    yield perform(Job(hash="0" * 32, task=job.task, fields=job.fields, share=""))

            return nullcontext(run)

    with pytest.raises(UserError, match="has other code or data than this process"):
        sweep(study(), tmp_path / "o", executor=Other())  # type: ignore[arg-type]  # likewise
    assert not (tmp_path / "o" / "results.jsonl").exists()


def test_results_that_are_no_plain_data_fail() -> None:
    job = Job(hash="", task="trivial_tasks:BAD", fields={}, share="")
    for result, message in (({"x": float("nan")}, "not JSON compliant"), ({"x": {1, 2}}, "not JSON serializable")):
        trivial_tasks.BAD = replace(TRIVIAL, run=lambda _, result=result: result)  # type: ignore[attr-defined]  # a task made for this test
        outcome = perform(job, strange=False)
        assert outcome.result is None and message in str(outcome.error)


def test_a_second_sweep_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with store.locked(tmp_path), pytest.raises(UserError, match=rf"in use by another sweep \(process {os.getpid()} on"):
        sweep(study(), tmp_path)
    assert len(sweep(study(), tmp_path).rows) == 12


def test_stores_of_newer_versions_and_others_files(tmp_path: Path) -> None:
    sweep(study(), tmp_path)
    log = tmp_path / "log.jsonl"
    content = log.read_text()
    for first, message in (
        ('{"format": "nmpu sweep log", "version": 2}', "layout 2, this version reads 1: update nmpu"),
        ("some other file", "is no nmpu sweep log"),
    ):
        log.write_text(first + content[content.index("\n") :])
        before = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir() if p.name != "lock"}
        with pytest.raises(UserError, match=message):
            sweep(study(), tmp_path)
        assert before == {
            p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir() if p.name != "lock"
        }
    results = tmp_path / "results.jsonl"
    results.write_text(results.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match="layout 2, this version reads 1"):
        read_results(tmp_path)
    results.write_text("{")
    with pytest.raises(UserError, match="no nmpu results file"):
        read_results(tmp_path)
    with pytest.raises(UserError, match="`nmpu sweep` writes it"):
        read_results(tmp_path / "none")


@pytest.mark.parametrize("executor", [InProcess(), Processes(workers=2)], ids=str)
def test_ctrl_c_keeps_what_stands(tmp_path: Path, ledger: Path, executor: Executor) -> None:
    def stop(tally: Tally) -> None:
        if tally.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"interrupted; 5 of 12 points are kept in .*, the same command goes on"):
        sweep(study(), tmp_path / "o", executor=executor, progress=stop)
    assert len(read_results(tmp_path / "o").rows) == 5
    assert len(sweep(study(), tmp_path / "o", executor=executor).rows) == 12
    assert sum(computed(ledger).values()) <= 12 + 2 and len(computed(ledger)) == 12


def test_a_thousand_points_cost_milliseconds_each(tmp_path: Path) -> None:
    """Bound 5 ms a point, processor time; about 0.2 ms is usual."""
    s = study("seeds = 10\n[grid]\nshape.width = " + str([*range(10)]) + "\nshape.height = " + str([*range(10)]))
    start = time.process_time()
    assert len(sweep(s, tmp_path).rows) == 1000
    assert time.process_time() - start < 5.0


def test_nobody_is_left_behind(tmp_path: Path) -> None:
    sweep(study(), tmp_path, executor=Processes(workers=2))
    assert multiprocessing.active_children() == []


def test_outcomes_read_back(tmp_path: Path) -> None:
    kept = store.Store.read(tmp_path)
    outcome = Outcome(hash="a", error="E", trace="t", seconds=1.5, host="h", process=3, finished=2.0)
    kept.keep(outcome)
    kept.keep(Outcome(hash="b", result={"x": 1}))
    assert store.Store.read(tmp_path).outcomes == {"a": outcome, "b": Outcome(hash="b", result={"x": 1})}
