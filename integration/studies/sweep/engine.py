"""From a study to its results: expand, look up what is known, compute the rest, write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from golden_model.errors import UserError
from integration.studies.sweep import store
from integration.studies.sweep.job import Executor, InProcess, Job
from integration.studies.sweep.store import Results, Store
from integration.studies.sweep.study import LIMIT, SEED, Study, overlaid
from integration.studies.sweep.task import Code, Task, code_of, find
from integration.zoo.files import write_text


@dataclass(slots=True, kw_only=True)
class Point:
    """One distinct point of a study."""

    hash: str
    place: int
    """Its place in the study, from 0."""
    setting: dict[str, Any]
    """The fields that vary, as far as they matter: what all settings that lead to this point have in common."""
    content: Any
    """All that decides the result."""
    fields: dict[str, Any]
    share: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """How far a sweep is."""

    points: int
    cached: int
    """Known before."""
    to_do: int
    done: int = 0
    failed: int = 0
    """Points whose failure is kept, earlier ones included."""


class Interrupted(KeyboardInterrupt):
    """The user stopped a sweep; the message says what stands and how to go on."""


def expand(study: Study, task: Task, code: Code) -> list[Point]:
    """Return a study's distinct points; every configuration is checked (UserError). Equal ones are one point."""
    points: dict[str, Point] = {}
    lines: dict[str, list[Point]] = {}  # those that differ in their seed alone
    common: dict[str, dict[str, Any]] = {}
    for place, setting in enumerate(study.settings()):
        where = f"study {study.name}"
        fields = overlaid(study.base, setting, where)
        try:
            configuration = task.configuration(fields, where)
            content = task.content(configuration)
        except UserError as error:
            shown = ", ".join(f"{key} = {value}" for key, value in setting.items())
            raise UserError(f"{error} (at the point {shown})" if shown else str(error)) from error
        name = code.hash(content)
        line = json.dumps(_without(SEED, content), sort_keys=True)
        common[line] = _shared(common.get(line, setting), setting)
        if name not in points:
            share = str(hash(task.share(configuration)))
            points[name] = Point(hash=name, place=place, setting=setting, content=content, fields=fields, share=share)
            lines.setdefault(line, []).append(points[name])
        else:
            points[name].setting = _shared(points[name].setting, setting)
    for line, members in lines.items():
        for point in members:  # a field that reaches no seed of a line names none of them
            point.setting = {k: v for k, v in point.setting.items() if k == SEED or k in common[line]}
    return list(points.values())


def _without(key: str, content: Any) -> Any:
    return {k: v for k, v in content.items() if k != key} if isinstance(content, dict) else content


def _shared(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key in other and other[key] == value}


def sweep(
    study: Study,
    folder: Path,
    *,
    executor: Executor | None = None,
    threads: int = 1,
    retry: bool = False,
    limit: int = LIMIT,
    command: str = "",
    progress: Callable[[Tally], None] = lambda _: None,
) -> Results:
    """Compute the points of a study that `folder` does not hold yet, and write its results.

    A point that failed before is computed again with `retry` alone. Whatever stops a sweep, what is finished stands,
    and the next call goes on from there. `progress` is called once before the first point and after each.

    Errors: UserError before anything is computed or written where the study, the executor or the folder is wrong;
    Interrupted on Ctrl-C, after the results that stand have been written.
    """
    study.check_size(limit)
    task, code = find(study.task), code_of(study.task)
    check_plots(study, task)
    points = expand(study, task, code)
    executor = InProcess() if executor is None else executor
    with executor.open(study.task) as run, store.locked(folder):
        kept = Store.read(folder)
        known = {p.hash for p in points if p.hash in kept.outcomes and not (retry and kept.outcomes[p.hash].error)}
        failed = sum(kept.outcomes[name].error is not None for name in known)
        tally = Tally(points=len(points), cached=len(known), to_do=len(points) - len(known), failed=failed)
        progress(tally)
        if tally.to_do:
            kept.begin(store.provenance(command, str(executor), code.releases))
        try:
            with closing(run(_jobs(points, known, study.task, threads))) as outcomes:
                for outcome in outcomes:
                    if outcome.refused:
                        raise UserError(
                            f"the worker on {outcome.host} has other code or data than this process: install the same "
                            "nmpu there, restart it, and give the command again"
                        )
                    kept.keep(outcome)
                    tally.done += 1
                    tally.failed += outcome.error is not None
                    progress(tally)
        except KeyboardInterrupt:
            write(folder, study, code, points, kept)
            raise Interrupted(
                f"interrupted; {tally.cached + tally.done} of {tally.points} points are kept in {folder}, "
                "the same command goes on"
            ) from None
        return write(folder, study, code, points, kept)


def check_plots(study: Study, task: Task) -> None:
    """Refuse (UserError) plots of what does not vary or is not measured."""
    names = {measure.name for measure in task.measures}
    for plot in study.plots:
        fields = {*study.keys}
        for key, allowed in (("x", names | fields), ("y", names), ("by", fields), ("without", fields)):
            value = getattr(plot, key)
            if value is not None and value not in allowed:
                raise UserError(f"study {study.name}: plot: {key} = {value!r}: there are {', '.join(sorted(allowed))}")


def _jobs(points: Iterable[Point], known: set[str], task: str, threads: int) -> list[Job]:
    """Return the jobs to do, those that share work next to each other."""
    order: dict[str, list[Job]] = {}
    for point in points:
        if point.hash not in known:
            job = Job(hash=point.hash, task=task, fields=point.fields, share=point.share, threads=threads)
            order.setdefault(point.share, []).append(job)
    return [job for jobs in order.values() for job in jobs]


def write(folder: Path, study: Study, code: Code, points: list[Point], kept: Store) -> Results:
    """Write results.jsonl, runs.jsonl and study.toml from the log; return what they hold."""
    header = {
        "format": "nmpu results",
        "version": store.LAYOUT,
        "study": study.name,
        "title": study.title,
        "quick": study.quick,
        "paper": study.paper,
        "keys": list(study.keys),
        "plots": [asdict(plot) for plot in study.plots],
        "points": len(points),
        **asdict(code),
        "text": study.text,
    }
    records, times = [], []
    for point in sorted((p for p in points if p.hash in kept.outcomes), key=lambda p: p.hash):
        outcome = kept.outcomes[point.hash]
        record: dict[str, Any] = {"hash": point.hash, "place": point.place, "setting": point.setting}
        if outcome.result is not None:
            records.append(record | {"configuration": point.content, "result": outcome.result})
        else:
            records.append(record | {"error": outcome.error or "unknown"})
        time = asdict(replace(outcome, result=None, error=None))
        times.append({key: value for key, value in time.items() if value not in (None, "", False)})
    store.write_lines(folder / store.RESULTS, [header, *records])
    beside = {"format": "nmpu runs", "version": store.LAYOUT, "runs": kept.runs}
    store.write_lines(folder / store.RUNS, [beside, *times])
    write_text(folder / "study.toml", study.text)
    return store.read_results(folder)
