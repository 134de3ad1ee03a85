"""Options that several commands take, by the same names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="NMPU_DATA", help="Folder of the data sets in their standard layouts."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON to this file.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of torch.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed.")]
Quick = Annotated[bool, typer.Option("--quick", help="A short form that shows that everything works.")]
MaybeFile: TypeAlias = Path | None


def write(path: Path, text: str) -> None:
    """Write text to a file, whole or not at all."""
    from integration.zoo.files import write_text

    write_text(path, text)
