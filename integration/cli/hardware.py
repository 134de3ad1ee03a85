"""The commands on units: their Verilog and its verification."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from integration.cli.options import Json, MaybeFile, Output, Quick, Seed, write


def elaborate(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu or fp16_unit.")],
    config: Annotated[MaybeFile, typer.Option("--config", help="TOML file of the unit's configuration.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="One field of the configuration, as units=16 or scale=UQ(1,5); may be repeated."),
    ] = None,
    output: Output = None,
) -> None:
    """Write a unit's Verilog for synthesis: deterministic text, to standard output or a file."""
    from golden_model.configuration import read, words
    from synth.registry import unit as find_unit
    from synth.verilog import elaborate as to_verilog

    configuration = find_unit(unit).config()
    if config is not None:
        configuration = read(config, configuration)
    text = to_verilog(unit, words(configuration, assignments or [], "--set"))
    if output is None:
        print(text, end="")
    else:
        write(output, text)
        print(f"{output}: {len(text.splitlines())} lines of Verilog, module {unit}")


def verify(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu.")] = "nmpu",
    seed: Seed = 0,
    quick: Quick = False,
    waves: Annotated[MaybeFile, typer.Option("--waves", help="Leave the trace of one run in this file.")] = None,
    json_file: Json = None,
) -> None:
    """Run the cocotb regression of a unit on Icarus Verilog, bit for bit against the golden model."""
    from cocotb_tests.regression import print_summary
    from cocotb_tests.regression import verify as run

    console = Console()
    summary = run(unit, seed=seed, quick=quick, waves=waves, console=console)
    print_summary(summary, console)
    if json_file is not None:
        from golden_model.configuration import plain

        write(json_file, json.dumps(plain(summary), indent=2) + "\n")
    if not summary.passed:
        raise typer.Exit(1)
