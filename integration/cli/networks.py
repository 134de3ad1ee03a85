"""The commands on networks: presets, training, evaluation."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from integration.cli.options import Data, Json, MaybeFile, Output, Quick, Seed, Threads


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
            help="A digital unit: float, fp16, nmpu, nmpu:scale=UQ(1,5),guard=3, or a TOML file of an NMPU; rtl and "
            "fp16-rtl are their Verilog, compiled (rtl:engine=verilator; verilog=FILE: other Verilog); may be "
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
    export: Annotated[
        MaybeFile,
        typer.Option(
            "--export",
            help="A new folder: parameters, inputs and outputs of every tile for the first unit with Verilog, and a "
            "bench. Of --images; default: one.",
        ),
    ] = None,
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
            export=export,
        ),
        Console(),
    )
