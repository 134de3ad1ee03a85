"""The commands on units: their Verilog and its verification."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from golden_model.errors import UserError
from integration.cli.options import Json, MaybeFile, Output, Quick, Seed, write

Config = Annotated[MaybeFile, typer.Option("--config", help="TOML file of the unit's configuration.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", help="One field of the configuration, as units=16 or scale=UQ(1,5); may be repeated."),
]


def _configured(unit: str, config: Path | None, assignments: list[str] | None) -> Any:
    """Return the configuration of a unit: its default, a file on top, single fields on top of that."""
    from golden_model.configuration import read, words
    from synth.registry import unit as find_unit

    configuration = find_unit(unit).config()
    if config is not None:
        configuration = read(config, configuration)
    return words(configuration, assignments or [], "--set")


def elaborate(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu, fp16_unit or scale_array.")],
    config: Config = None,
    assignments: Assignments = None,
    output: Output = None,
    package: Annotated[
        MaybeFile,
        typer.Option(
            "--package", help="Write a folder for a flow: Verilog, wrappers, bus, constraints, assertions, README."
        ),
    ] = None,
    period: Annotated[
        float | None, typer.Option("--period", help="The package's clock period, ps; 705 where none is given.")
    ] = None,
) -> None:
    """Write a unit's Verilog for synthesis: deterministic text, to standard output or a file; or a whole package."""
    from synth.verilog import elaborate as to_verilog

    if package is not None:
        _write_package(unit, _configured(unit, config, assignments), package, period, output)
        return
    if period is not None:
        raise UserError("--period is the clock of a package: --package DIR")
    text = to_verilog(unit, _configured(unit, config, assignments))
    if output is None:
        print(text, end="")
    else:
        write(output, text)
        print(f"{output}: {len(text.splitlines())} lines of Verilog, module {unit}")


def _write_package(unit: str, configuration: Any, folder: Path, period: float | None, output: Path | None) -> None:
    """Write the package of a unit."""
    from integration.zoo.files import write_folder
    from synth.package.build import PERIOD_PS, package

    if output is not None:
        raise UserError("--package writes a folder, --output a file: not both")
    files = package(unit, configuration, PERIOD_PS if period is None else period)
    write_folder(folder, files)
    print(f"{folder}: {len(files)} files, tops {unit} and {unit}_apb; README.md says what they are")


def verify(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu, fp16_unit or scale_array.")] = "nmpu",
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
        write(json_file, json.dumps(asdict(summary), indent=2) + "\n")
    if not summary.passed:
        raise typer.Exit(1)


class Target(Enum):
    """Where `nmpu synth` maps a unit."""

    GENERIC = "generic"
    ICE40 = "ice40"
    ECP5 = "ecp5"


def synth(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu, fp16_unit or scale_array.")],
    config: Config = None,
    assignments: Assignments = None,
    liberty: Annotated[
        list[Path] | None,
        typer.Option("--liberty", help="Liberty file of a cell library, plain or compressed; may be repeated."),
    ] = None,
    target: Annotated[Target, typer.Option("--target", help="A cell library or generic gates; or an FPGA.")] = (
        Target.GENERIC
    ),
    period: Annotated[
        float | None, typer.Option("--period", min=1, help="The clock period to meet, ps; needs OpenSTA.")
    ] = None,
    part: Annotated[
        str | None, typer.Option("--part", help="A part of the unit by itself: lane, or a stage, as multiply.")
    ] = None,
    clock_gates: Annotated[
        bool, typer.Option("--clock-gates", help="The library's clock gates in place of enables.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="One netlist instead of a search.")] = False,
    json_file: Json = None,
) -> None:
    """Synthesise a unit: cells, area, flip-flops, logic depth, and the clock from static timing or place and route."""
    from synth import tabulate
    from synth.fpga import Family, place
    from synth.generic import estimate
    from synth.mapping import fingerprint
    from synth.registry import unit as find_unit
    from synth.synthesis import FULL, QUICK, synthesise
    from synth.verilog import elaborate as to_verilog

    if liberty and target is not Target.GENERIC:
        raise UserError(f"--liberty and --target {target.value}: a cell library or an FPGA, not both")
    if period is not None and not liberty:
        raise UserError("--period needs a cell library: --liberty FILE")
    if clock_gates and not liberty:
        raise UserError("--clock-gates needs a cell library: --liberty FILE")
    console = Console()
    configured = _configured(unit, config, assignments)
    text = to_verilog(unit, configured) if part is None else find_unit(unit).part(part, configured)
    standing = find_unit(unit).standing(configured) if part is None else ()
    unit = part or unit
    if target is not Target.GENERIC:
        placed = place(text, unit, Family(target.value))
        tabulate.print_placed(placed, console)
        result = tabulate.placed_json(placed)
    elif liberty:
        search = QUICK if quick else FULL
        report = synthesise(text, unit, liberty, period, search=search, clock_gates=clock_gates, standing=standing)
        chosen = report.densest if period is None else report.within(period)
        tabulate.print_report(report, chosen, console)
        result = tabulate.report_json(report, chosen)
    else:
        estimated = estimate(text, unit)
        tabulate.print_estimate(estimated, console)
        result = tabulate.estimate_json(estimated)
    if json_file is not None:
        result["design"] = fingerprint(text, unit)
        write(json_file, json.dumps(result, indent=2) + "\n")


def compare(
    liberty: Annotated[
        list[Path] | None,
        typer.Option("--liberty", help="Liberty file of a cell library, plain or compressed; may be repeated."),
    ] = None,
    units: Annotated[
        list[int] | None, typer.Option("--units", help="Lanes of an NMPU; may be repeated. Default: 1, 4, 16, 64.")
    ] = None,
    measured: Annotated[
        MaybeFile,
        typer.Option(
            "--measured",
            help="Measurements that --json wrote before, instead of new ones; with --liberty, energies are added.",
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="Add a network's layers: resnet9s, resnet20 or resnet32.")
    ] = None,
    product: Annotated[
        float, typer.Option("--matrix-vector-ns", min=0.001, help="Time of a matrix-vector product, ns; HERMES: 133.")
    ] = 133.0,
    quick: Annotated[bool, typer.Option("--quick", help="4 lanes, one netlist a unit.")] = False,
    json_file: Json = None,
) -> None:
    """Compare the NMPU with the FP16 unit on equal work: time of a vector, throughput, area, energy, with formulas."""
    from golden_model.errors import UserError
    from integration.zoo import networks
    from synth.compare.comparison import compare as run
    from synth.compare.comparison import document, read
    from synth.compare.complete import complete
    from synth.compare.show import print_comparison
    from synth.liberty import read as read_library

    console, told = Console(), Console(stderr=True)
    if network is not None:
        networks.build(network)  # a wrong name is told before minutes are spent
    if measured is not None:
        comparison = read(measured)
        if liberty:
            comparison = complete(
                comparison,
                read_library(liberty),
                progress=lambda label: told.print(f"measuring the energy of {label}"),
            )
    elif liberty:
        chosen = {"units": tuple(units)} if units else {"units": (4,)} if quick else {}
        comparison = run(
            read_library(liberty),
            quick=quick,
            progress=lambda label: told.print(f"measuring {label}"),
            **chosen,
        )
    else:
        raise UserError("nmpu compare needs a cell library: --liberty FILE, or --measured FILE with what was measured")
    print_comparison(comparison, console)
    result = document(comparison)
    if network is not None:
        from integration.studies.bounds import bounds, print_bounds

        table = bounds(network, comparison, product_ns=product)
        print_bounds(table, console)
        result["network"] = table.document()
    if json_file is not None:
        write(json_file, json.dumps(result, indent=2) + "\n")


def prove(
    unit: Annotated[str, typer.Argument(help="The unit: nmpu or fp16_unit.")] = "nmpu",
    config: Config = None,
    assignments: Assignments = None,
    quick: Quick = False,
    liberty: Annotated[
        list[Path] | None,
        typer.Option("--liberty", help="Map the NMPU onto these cells and prove the netlist too; may be repeated."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Prove a unit for all inputs, every configuration of the regression; anything undecided is a failure."""
    from cocotb_tests.nmpu.configurations import CASES
    from golden_model.configuration import plain
    from synth import liberty as cells
    from synth.prove import fp16
    from synth.prove import unit as nmpu
    from synth.registry import unit as find_unit

    found = find_unit(unit)
    if unit not in ("nmpu", "fp16_unit"):
        raise UserError(f"unit {unit!r} has no proof: there are proofs of fp16_unit and nmpu; nmpu verify checks it")
    given = {"given": _configured(unit, config, assignments)} if config or assignments else None
    if unit == "nmpu":
        library = cells.read(liberty) if liberty else None
        cases = {case.name: case.config for case in CASES if case.quick or not quick}
        proof = nmpu.prove_nmpu(given or cases, library)
    elif liberty:
        raise UserError(f"--liberty: the netlist of {unit} is not proved, that of nmpu is")
    else:
        proof = fp16.prove_fp16(given or found.shown)
    nmpu.print_proof(proof, Console(width=160))
    if json_file is not None:
        rows = [{"where": where, **plain(outcome)} for where, outcome in proof.rows]
        planted = [plain(outcome) for outcome in proof.planted]
        write(json_file, json.dumps({"rows": rows, "planted": planted, "seconds": proof.seconds}, indent=2) + "\n")
    if not proof.proved:
        raise typer.Exit(1)
