"""The commands on networks: presets, training, evaluation."""

from __future__ import annotations

from typing import Annotated, Any

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
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Images a step.  [default: 128; with --preset 256]")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    peak_lr: Annotated[
        float | None,
        typer.Option("--peak-lr", help="Largest learning rate.  [default: 0.3 of SGD; with --preset 0.001 of Adam]"),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="On weights of layers alone.  [default: 0.0005]")
    ] = None,
    crop: Annotated[
        int, typer.Option("--crop", min=0, help="Pixels that an image is moved by at most; black comes in.")
    ] = 4,
    cutout: Annotated[
        int | None,
        typer.Option(
            "--cutout", min=0, help="Side of the square blanked in each image.  [default: 6; with --preset 0]"
        ),
    ] = None,
    start: Annotated[
        MaybeFile,
        typer.Option("--from", help="Checkpoint to start from, a file or the name of a shipped one."),
    ] = None,
    noise: Annotated[
        str | None, typer.Option("--noise", help="Train under the noise of this tile, as hermes; usual with --from.")
    ] = None,
    weight_noise: Annotated[
        float | None,
        typer.Option(
            "--weight-noise",
            min=0,
            help="With --noise: sigma over the largest weight of a column.  [default: that of the tile's devices]",
        ),
    ] = None,
    output_noise: Annotated[
        float | None,
        typer.Option("--output-noise", min=0, help="With --noise: sigma over a layer's RMS result.  [default: 0]"),
    ] = None,
    read_noise: Annotated[
        str | None,
        typer.Option(
            "--read-noise",
            help="With --noise: drawn for all results, as the tile does, or once a step with the weights, cheaper.  "
            "[default: results]",
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(
            "--clip", min=0, help="With --noise: weights end at so many sigma, 1.5 or more; 0: nowhere.  [default: 2]"
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option("--preset", help="Train for a bit-sliced tile: hcim_a, hcim_b or hcim_wide. Needs --from."),
    ] = None,
    sums: Annotated[
        str, typer.Option("--sums", help="With --preset: integer (exact sums, first) or comparator.")
    ] = "comparator",
    binary: Annotated[bool, typer.Option("--binary", help="With --preset: one comparator a column, not two.")] = False,
    teacher: Annotated[
        MaybeFile, typer.Option("--teacher", help="With --preset: float checkpoint to learn from.  [default: --from]")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="With --preset: a time budget instead of --epochs.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--restart", help="Go on where a stopped training left off.")] = True,
    quick: Quick = False,
    output: Output = None,
) -> None:
    """Train a network; an interrupted training goes on where it stopped when the command is given again."""
    from golden_model.errors import UserError
    from integration.zoo.checkpoint import named

    shared: dict[str, Any] = {"data": data, "epochs": epochs, "seed": seed, "output": output, "threads": threads}
    shared |= {"resume": resume, "quick": quick, "crop": crop, "console": Console()}
    shared |= {key: value for key, value in (("batch", batch), ("cutout", cutout)) if value is not None}
    numbers = {"weight_noise": weight_noise, "read_noise": read_noise, "output_noise": output_noise, "clip": clip}
    noisy: dict[str, Any] = {name: value for name, value in numbers.items() if value is not None}
    if noisy and noise is None:
        raise UserError(f"{', '.join('--' + n.replace('_', '-') for n in noisy)}: with --noise; name a tile, as hermes")
    if preset is None:
        from integration.zoo.noisy import Noise, Reads
        from integration.zoo.training import train as train_float
        from sim.presets import preset as find_preset

        if read_noise is not None:
            if read_noise not in set(Reads):
                raise UserError(f"--read-noise {read_noise!r} is unknown: {' or '.join(Reads)}")
            if weight_noise is not None:
                raise UserError("--read-noise: of the tile's devices, which --weight-noise replaces; leave out one")
            noisy["read_noise"] = Reads(read_noise)
        shared |= {
            "start": None if start is None else named(start),
            "noise": Noise(find_preset(noise), **noisy) if noise is not None else None,
        }
        sliced = {"--teacher": teacher, "--minutes": minutes, "--binary": binary or None}
        given = [name for name, value in sliced.items() if value is not None]
        if given:
            raise UserError(f"{', '.join(given)}: for trainings with --preset; name one, as hcim_a")
        rates: tuple[tuple[str, Any], ...] = (("peak_lr", peak_lr), ("weight_decay", weight_decay))
        trained = train_float(network, dataset, **shared, **{key: value for key, value in rates if value is not None})
    else:
        from dataclasses import replace

        from integration.zoo.sliced import Sums
        from integration.zoo.sliced_training import train_sliced
        from sim.presets import sliced_preset

        if noise is not None:
            raise UserError(
                "--noise: for float trainings; a bit-sliced tile has its own, leave out --preset or --noise"
            )
        if weight_decay is not None:
            raise UserError("--weight-decay: for float trainings; Adam has none here, leave it out")
        if peak_lr is not None:
            shared["rate"] = peak_lr
        if start is None:
            raise UserError(
                "--preset needs --from FILE: a float checkpoint (with --sums integer), or the checkpoint that this made"
            )
        if sums not in set(Sums):
            raise UserError(f"--sums {sums!r} is unknown: {' or '.join(Sums)}")
        tile = sliced_preset(preset)
        start, teacher = named(start), None if teacher is None else named(teacher)
        tile = replace(tile, readout=replace(tile.readout, ternary=not binary))
        trained = train_sliced(
            network, dataset, tile, start, sums=Sums(sums), teacher=teacher, minutes=minutes, **shared
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
    layer: Annotated[
        str | None, typer.Option("--layer", help="Of --export on a bit-sliced preset: this layer only.")
    ] = None,
    arrays_rtl: Annotated[
        bool,
        typer.Option(
            "--arrays-rtl",
            help="On a bit-sliced preset: every column also goes through the compiled Verilog of the scale-factor "
            "array, beside the first unit; differences are counted.",
        ),
    ] = False,
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
            arrays_rtl=arrays_rtl,
            layer=layer,
        ),
        Console(),
    )
