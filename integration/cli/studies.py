"""The commands on studies: sweep, report, reproduce."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from integration.cli.options import Data, Json, Quick, write

if TYPE_CHECKING:
    from integration.studies.reproduce.paper import Paper
    from integration.studies.sweep.job import Executor
    from integration.studies.sweep.store import Results
    from integration.studies.sweep.study import Study

Folder = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the results; default: out/sweeps/NAME.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, help="Seeds 0 .. N-1; default: the study's.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Local processes; 1: in this process.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Address of a Dask scheduler, as tcp://host:8786: its workers compute."),
]
Retry = Annotated[bool, typer.Option("--retry", help="Compute points again that failed before.")]
PointThreads = Annotated[int, typer.Option("--threads", min=1, help="Threads of torch in each worker.")]


def sweep(
    context: typer.Context,
    study: Annotated[Path, typer.Argument(help="TOML file of the study.")],
    data: Data = None,
    workers: Workers = 1,
    threads: PointThreads = 1,
    scheduler: Scheduler = None,
    seeds: Seeds = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="The short form that the study's [quick] table names.")
    ] = False,
    retry: Retry = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Points that a study may have.")] = None,
    json_file: Json = None,
    output: Folder = None,
) -> None:
    """Compute a study's points that are not known yet, and write its results and their report."""
    from integration.studies.sweep.study import read

    wanted = read(study, quick=quick, seeds=seeds)
    results = _compute(
        wanted,
        output or Path("out") / "sweeps" / wanted.name,
        _executor(workers, threads, scheduler),
        data=data,
        threads=threads,
        retry=retry,
        limit=limit,
        json_file=json_file,
        command=context.obj,
    )
    if results.failures:
        raise typer.Exit(1)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study's results.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: DIR/report.html.")
    ] = None,
) -> None:
    """Build a study's HTML report again from its results."""
    from integration.studies.report.page import build
    from integration.studies.reproduce.paper import find
    from integration.studies.sweep.store import read_results

    results = read_results(folder)
    name = results.header["paper"]
    target = output or folder / "report.html"
    write(target, build(results, find(name).compare(results) if name else None))
    print(f"{target}: {len(results.rows)} points, {len(results.failures)} failed")


def _executor(workers: int, threads: int, scheduler: str | None) -> Executor:
    """Return the executor that the options name."""
    from golden_model.errors import UserError

    if scheduler is not None:
        if workers > 1:
            raise UserError("--workers and --scheduler exclude each other: a cluster's workers are started beside it")
        from integration.studies.sweep.cluster import Cluster

        return Cluster(address=scheduler, threads=threads)
    cores = len(os.sched_getaffinity(0))
    if workers * threads > max(cores, threads):
        print(
            f"nmpu: {workers} workers of {threads} threads share {cores} cores; {max(1, cores // threads)} would be "
            "as fast",
            file=sys.stderr,
        )
    if workers > 1:
        from integration.studies.sweep.processes import Processes

        return Processes(workers=workers, threads=threads)
    from integration.studies.sweep.job import InProcess

    return InProcess()


def _compute(
    study: Study,
    folder: Path,
    executor: Executor,
    *,
    data: Path | None,
    threads: int,
    retry: bool,
    limit: int | None,
    json_file: Path | None,
    command: str,
    paper: Paper | None = None,
) -> Results:
    """Run a sweep under a progress bar; write its report, and its table where asked; print what came out."""
    from integration.studies.report.page import build
    from integration.studies.report.progress import bar
    from integration.studies.report.table import document, print_comparison, print_results
    from integration.studies.sweep.engine import Interrupted
    from integration.studies.sweep.engine import sweep as run
    from integration.studies.sweep.study import LIMIT
    from integration.zoo.files import writable

    if data is not None:
        os.environ["NMPU_DATA"] = str(data.expanduser().resolve())  # where workers look, wherever they stand
    if json_file is not None:
        writable(json_file)
    console = Console()
    try:
        with bar(console) as progress:
            results = run(
                study,
                folder,
                executor=executor,
                threads=threads,
                retry=retry,
                limit=limit or LIMIT,
                command=command,
                progress=progress,
            )
    except Interrupted as stop:
        print(f"nmpu: {stop}", file=sys.stderr)
        raise typer.Exit(130) from None
    comparison = None if paper is None else paper.compare(results)
    write(folder / "report.html", build(results, comparison))
    if json_file is not None:
        shown = document(results) | ({} if comparison is None else {"comparison": comparison.document()})
        write(json_file, json.dumps(shown, indent=2) + "\n")
    print_results(results, folder, console)
    if comparison is not None:
        print_comparison(comparison, console)
    return results


def reproduce(
    context: typer.Context,
    paper: Annotated[str, typer.Argument(help="The paper: nmpu or hcim.")],
    data: Data = None,
    workers: Workers = 1,
    threads: PointThreads = 1,
    scheduler: Scheduler = None,
    seeds: Seeds = None,
    quick: Quick = False,
    retry: Retry = False,
    json_file: Json = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the results; default: out/reproduce/PAPER.")
    ] = None,
) -> None:
    """Compute a paper's study and set it beside the paper's figures."""
    if paper == "hcim":
        other = {"--seeds": seeds, "--scheduler": scheduler, "--output": output, "--workers": workers > 1 or None}
        _hcim(data, threads, quick, json_file, [name for name, value in other.items() if value is not None])
        return
    from integration.studies.reproduce.paper import find

    found = find(paper)
    wanted = found.read(quick=quick, seeds=seeds)
    results = _compute(
        wanted,
        output or Path("out") / "reproduce" / wanted.name,
        _executor(workers, threads, scheduler),
        data=data,
        threads=threads,
        retry=retry,
        limit=None,
        json_file=json_file,
        command=context.obj,
        paper=found,
    )
    if results.failures:
        raise typer.Exit(1)


def _hcim(data: Path | None, threads: int, quick: bool, json_file: Path | None, refused: list[str]) -> None:
    """Reproduce HCiM's paper: one run, no sweep."""
    import torch

    from golden_model.errors import UserError
    from integration.studies.command import progress_bar
    from integration.studies.reproduce.hcim import reproduce as run
    from integration.studies.reproduce.hcim import show
    from integration.zoo.files import writable

    if refused:
        raise UserError(f"{', '.join(refused)}: not for hcim, which is one run without seeds")
    if json_file is not None:
        writable(json_file)
    torch.set_num_threads(threads)
    console = Console()
    network, dataset = ("resnet9s", "digits") if quick else ("resnet20", "cifar10")
    with progress_bar(console) as bar:
        task = bar.add_task("loading", total=None)
        report = run(
            network=network,
            dataset=dataset,
            data=data,
            tell=lambda text, done, total: bar.update(task, description=text, completed=done, total=total),
        )
    show(report, console)
    if json_file is not None:
        write(json_file, json.dumps(report.document(), indent=2) + "\n")
