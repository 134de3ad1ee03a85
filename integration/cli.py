"""The command line: parse, call, print. Every command is a function elsewhere, imported when it is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console

from golden_model.errors import UserError

app = typer.Typer(
    name="nmpu",
    help="A fixed-point near-memory processing unit: Verilog, verification, and what it costs a network in accuracy.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

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


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """A fixed-point near-memory processing unit: Verilog, verification, and what it costs a network in accuracy."""
    if version:
        from importlib.metadata import version as installed

        print(installed("nmpu"))
        raise typer.Exit


@app.command()
def elaborate(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu.")],
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
        _write(output, text)
        print(f"{output}: {len(text.splitlines())} lines of Verilog, module {unit}")


@app.command()
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

        _write(json_file, json.dumps(plain(summary), indent=2) + "\n")
    if not summary.passed:
        raise typer.Exit(1)


@app.command()
def presets() -> None:
    """List the tile presets and their fields, as `evaluate --set` takes them."""
    from golden_model.configuration import plain
    from sim.presets import PRESETS

    for name, tile in PRESETS.items():
        print(name)
        for stage, fields in plain(tile).items():
            if isinstance(fields, dict):
                for key, value in fields.items():
                    print(f"  {stage}.{key} = {str(value).lower() if isinstance(value, bool) else value}")


@app.command()
def train(
    network: Annotated[str, typer.Option("--network", help="resnet9s, resnet20, resnet32 or package.module:factory.")],
    dataset: Annotated[str, typer.Option("--dataset", help="digits, mnist, cifar10 or cifar100.")] = "digits",
    data: Data = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs; default: the recipe's.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a step.")] = 128,
    seed: Seed = 0,
    threads: Threads = 1,
    peak_lr: Annotated[float, typer.Option("--peak-lr", help="Largest learning rate of the one-cycle schedule.")] = 0.3,
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="On weights of layers alone.")] = 5e-4,
    cutout: Annotated[int, typer.Option("--cutout", min=0, help="Side of the square blanked in each image.")] = 6,
    resume: Annotated[bool, typer.Option("--resume/--restart", help="Go on where a stopped training left off.")] = True,
    quick: Quick = False,
    output: Output = None,
) -> None:
    """Train a network; an interrupted training goes on where it stopped when the command is given again."""
    from integration.zoo.training import train as run

    trained = run(
        network,
        dataset,
        data=data,
        epochs=epochs,
        batch=batch,
        seed=seed,
        output=output,
        threads=threads,
        resume=resume,
        quick=quick,
        peak_lr=peak_lr,
        weight_decay=weight_decay,
        cutout=cutout,
        console=Console(),
    )
    print(f"{trained.path}: {trained.card.accuracy:.2f} % on the test images of {dataset}, {trained.seconds:.0f} s")


@app.command()
def evaluate(
    network: Annotated[
        str, typer.Option("--network", help="resnet9s, resnet20, resnet32 or package.module:factory.")
    ] = "resnet9s",
    dataset: Annotated[str, typer.Option("--dataset", help="digits, mnist, cifar10 or cifar100.")] = "digits",
    data: Data = None,
    checkpoint: Annotated[
        MaybeFile, typer.Option("--checkpoint", help="Weights: npz, safetensors or torch; default: the shipped ones.")
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option("--mean", help="Mean of each channel, as 0.485,0.456,0.406; default: the checkpoint's or set's."),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option("--std", help="Standard deviation of each channel, likewise."),
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="The analog tile; `nmpu presets` lists them.")] = "hermes",
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="One field of the preset, as array.read_noise=false; may be repeated."),
    ] = None,
    digital: Annotated[
        list[str] | None,
        typer.Option(
            "--digital",
            help="A digital unit: float, fp16, nmpu, nmpu:scale=UQ(1,5),guard=3, or a TOML file of an NMPU; may be "
            "repeated. Default: float, fp16, nmpu.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Seeds 0 .. N-1.")] = 1,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="This one seed instead.")] = None,
    images: Annotated[int | None, typer.Option("--images", min=1, help="The first test images only.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images at a time; changes no result.")] = 100,
    threads: Threads = 1,
    compiled: Annotated[
        bool | None,
        typer.Option("--compiled/--eager", help="Fuse the kernels; same bits. Default: where it pays."),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also print a row a layer and unit.")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Add the negative control, an NMPU with UQ(1,3) scales: it must hurt.")
    ] = False,
    save: Annotated[MaybeFile, typer.Option("--save", help="Keep the converted network of the first seed.")] = None,
    load: Annotated[MaybeFile, typer.Option("--load", help="Evaluate a network that --save kept.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, 200 images.")] = False,
    json_file: Json = None,
) -> None:
    """Evaluate a network on a tile: FP32, analog + float, analog + FP16, analog + NMPU, and what each costs."""
    from integration.studies import command

    command.run(
        command.Request(
            network=network,
            dataset=dataset,
            data=data,
            checkpoint=checkpoint,
            mean=mean,
            std=std,
            preset=preset,
            assignments=tuple(assignments or ()),
            digital=tuple(digital or ("float", "fp16", "nmpu")),
            control=control,
            seeds=(seed,) if seed is not None else tuple(range(1 if quick else seeds)),
            images=images if images is not None or not quick else 200,
            batch=batch,
            threads=threads,
            compiled=compiled,
            layers=layers,
            save=save,
            load=load,
            json_file=json_file,
        ),
        Console(),
    )


def _write(path: Path, text: str) -> None:
    """Write text to a file, whole or not at all."""
    from integration.zoo.files import atomic

    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. A user's mistake is one line on standard error and exit code 2."""
    try:
        app(arguments, prog_name="nmpu")
    except UserError as error:
        print(f"nmpu: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("nmpu: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
