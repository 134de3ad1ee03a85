"""The command line: parse, call, print. Every command is a function elsewhere, imported when it is called."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from golden_model.errors import UserError
from integration.cli import hardware, networks, studies

app = typer.Typer(
    name="nmpu",
    help="A fixed-point near-memory processing unit: Verilog, verification, and what it costs a network in accuracy.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """A fixed-point near-memory processing unit: Verilog, verification, and what it costs a network in accuracy."""
    if version:
        from importlib.metadata import version as installed

        print(installed("nmpu"))
        raise typer.Exit


for command in (
    hardware.elaborate,
    hardware.verify,
    hardware.synth,
    hardware.prove,
    hardware.compare,
    networks.presets,
    networks.train,
    networks.evaluate,
    studies.sweep,
    studies.report,
    studies.reproduce,
):
    app.command()(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake is one line on standard error and exit code 2."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(given, prog_name="nmpu", obj=shlex.join(["nmpu", *given]))
    except UserError as error:
        print(f"nmpu: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("nmpu: interrupted", file=sys.stderr)
        sys.exit(130)
