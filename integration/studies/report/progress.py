"""The progress bar of a sweep: points, those known before, those that failed, elapsed and remaining time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from integration.studies.sweep.engine import Tally


@contextmanager
def bar(console: Console) -> Iterator[Callable[[Tally], None]]:
    """Show a bar while the block runs; the function that it yields takes the sweep's tally.

    Known points are told beside the bar and not counted in it, so that the remaining time is that of the others.
    """
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[beside]}"),
        TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, speed_estimate_period=600) as progress:
        task = progress.add_task("points", total=None, beside="")

        def tell(tally: Tally) -> None:
            beside = f"{tally.cached} cached" + (f", {tally.failed} failed" if tally.failed else "")
            progress.update(task, total=tally.to_do, completed=tally.done, beside=beside)

        yield tell
