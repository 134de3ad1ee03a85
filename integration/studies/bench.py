"""`make bench`: what the tile costs over plain float torch, and what a code costs in each unit.

One run, one thread, medians of interleaved pairs: ratios, not times. Float torch is its best self: evaluation mode,
inference_mode, batch norm folded, the faster of both memory layouts. Memory: peak above the level after import and
warm-up, each in a process of its own.
"""

from __future__ import annotations

import copy
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from golden_model.fp16_unit import Fp16Columns, Fp16Config, fp16_unit
from golden_model.nmpu import nmpu
from golden_model.nmpu_config import Columns, Input, Layer, NmpuConfig
from integration.mapping.network import ConvertedNetwork, convert
from integration.mapping.sliced import SlicedNetwork
from integration.mapping.slicing import convert_sliced
from integration.zoo import networks
from integration.zoo.sliced import Sums, slice_network
from integration.zoo.sliced_training import calibrate
from sim import float16
from sim.digital import NmpuUnit
from sim.kernels import any_rows, fuse
from sim.presets import HCIM_A, preset
from sim.tile import Tile

BATCH = 32
SLICED = "hcim_a, bit planes"
PAIRS = 5


def tiles() -> dict[str, tuple[Tile, NmpuUnit]]:
    """Return the three chains that are timed, with the NMPU that fits each."""
    hermes = preset("hermes")
    quiet = replace(hermes, array=replace(hermes.array, read_noise=False, programming_noise=False))
    code = replace(quiet, readout=replace(quiet.readout, output=Input.CODE, full_scale=127))
    return {
        "signed 8-bit code": (code, NmpuUnit(config=NmpuConfig(input=Input.CODE, input_bits=8))),
        "two counts": (quiet, NmpuUnit()),
        "two counts, read noise": (hermes, NmpuUnit()),
    }


def _folded(model: nn.Module) -> nn.Module:
    """Return the model with batch norm folded into its convolutions."""
    import torch.fx.experimental.optimization as optimization

    folded: nn.Module = optimization.fuse(copy.deepcopy(model).eval())
    return folded


def _network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = networks.build("resnet20", classes=10, in_channels=3).eval()
    for module in model.modules():  # random statistics near what training leaves, so that codes are not all zero
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.2)
    return model, torch.randn(64, 3, 32, 32)


def _converted(name: str, model: nn.Module, images: Tensor) -> ConvertedNetwork | SlicedNetwork:
    if name == SLICED:
        return _sliced(model, images)
    tile, unit = tiles()[name]
    return convert(model, tile, images, units=(unit,))


def _sliced(model: nn.Module, images: Tensor) -> SlicedNetwork:
    """Return the network on HCiM's arrays, calibrated: its weights are random, which costs the same time."""
    own = slice_network(copy.deepcopy(model), HCIM_A)
    for sums in Sums:
        calibrate(own, images, sums)
    return convert_sliced(own, HCIM_A, images)


def _time(run: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def network_ratios() -> list[dict[str, Any]]:
    """Return, for each chain, the median ratio of its time to float torch's over interleaved pairs (ResNet-20)."""
    model, images = _network()
    batch = images[:BATCH]
    folded = _folded(model)
    results = []
    with torch.inference_mode():
        last = copy.deepcopy(folded).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        batch_last = batch.contiguous(memory_format=torch.channels_last)
        layouts = {"contiguous": lambda: folded(batch), "channels last": lambda: last(batch_last)}
        for run in layouts.values():
            _time(run, 5)
        fastest = min(layouts, key=lambda name: statistics.median(_time(layouts[name], 3) for _ in range(5)))
        plain = layouts[fastest]
        for name in (*tiles(), SLICED):
            run = _runner(_converted(name, model, images), batch)
            _time(run, 3)
            _time(plain, 3)
            pairs = []
            for _ in range(PAIRS):
                analog, float_torch = _time(run, 4), _time(plain, 4)
                pairs.append((analog / float_torch, analog, float_torch))
            ratio = statistics.median(p[0] for p in pairs)
            results.append(
                {
                    "chain": name,
                    "ratio": ratio,
                    "lowest": min(p[0] for p in pairs),
                    "highest": max(p[0] for p in pairs),
                    "images_per_second": BATCH / statistics.median(p[1] for p in pairs),
                    "float_images_per_second": BATCH / statistics.median(p[2] for p in pairs),
                    "layout": fastest,
                }
            )
    return results


def _runner(network: ConvertedNetwork | SlicedNetwork, batch: Tensor) -> Callable[[], Tensor]:
    return lambda: network.run(batch, "NMPU", compiled=True)


def code_costs(codes: int = 1 << 20, columns: int = 64) -> list[dict[str, Any]]:
    """Return nanoseconds a code of the fused units alone, counts in, codes out, with residual and ReLU."""
    generator = np.random.default_rng(0)
    rows = codes // columns
    counts = [torch.from_numpy(generator.integers(0, 421, (rows, columns)).astype(np.float32)) for _ in range(2)]
    residual = torch.from_numpy(generator.integers(0, 128, (rows, columns)).astype(np.float32))
    config, fp16 = NmpuConfig(), Fp16Config()
    integers = {
        name: torch.from_numpy(generator.integers(low, high, columns).astype(np.int32))
        for name, low, high in (
            ("scale_p", 1, 256),
            ("scale_n", 1, 256),
            ("offset", -128, 128),
            ("residual_scale", 1, 256),
        )
    }
    halves = {
        name: torch.from_numpy(generator.normal(0.5, 0.2, columns).astype(np.float16).astype(np.float32))
        for name in ("scale_p", "scale_n", "offset", "gamma", "beta", "receive")
    }

    def fixed(p: Tensor, n: Tensor, r: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        out = nmpu(config, Columns(**parameters), Layer(relu_after=True), p.int(), n.int(), residual=r.int())
        return torch.as_tensor(out.values).float()

    def half(p: Tensor, n: Tensor, r: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        out = fp16_unit(
            fp16, Fp16Columns(**parameters), p, n, residual=r, relu_after=True, arithmetic=float16
        )  # fmt: skip
        return torch.as_tensor(out.values).float()

    results = []
    with torch.inference_mode():
        for name, function, parameters in (("NMPU", fixed, integers), ("FP16 unit", half, halves)):
            any_rows(*counts, residual)
            kernel = fuse(function, ("bench", name))
            for _ in range(3):
                kernel(*counts, residual, parameters)
            times = [_time(partial(kernel, *counts, residual, parameters), 3) for _ in range(PAIRS)]
            results.append({"unit": name, "ns_per_code": statistics.median(times) / (rows * columns) * 1e9})
    return results


def peak(chain: str) -> int:
    """Return the bytes of peak memory above the level after import and warm-up, of one chain or of `float`."""
    torch.set_num_threads(1)
    model, images = _network()
    with torch.inference_mode():
        if chain == "float":
            folded = _folded(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub

            def run(batch: Tensor) -> Tensor:
                return torch.as_tensor(folded(batch.contiguous(memory_format=torch.channels_last)))
        else:
            network = _converted(chain, model, images[:8])

            def run(batch: Tensor) -> Tensor:
                return network.run(batch, "NMPU", compiled=True)

        batch = torch.randn(512, 3, 32, 32)
        for _ in range(2):
            run(batch[:2])
        _reset_peak()
        before = _resident()
        run(batch)
        return _high_water() - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident() -> int:
    return _status("VmRSS")


def _high_water() -> int:
    return _status("VmHWM")


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory() -> list[dict[str, Any]]:
    """Return peak memory of each chain over float torch's, batch 512, each in a process of its own."""

    def measure(chain: str) -> int:
        command = [sys.executable, "-m", "integration.studies.bench", "--peak", chain]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    base = measure("float")
    return [
        {"chain": name, "bytes": (used := measure(name)), "ratio": used / base, "float": base}
        for name in (*tiles(), SLICED)
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main(arguments: list[str]) -> None:
    """Print the benchmark, or write it as JSON with `--json FILE`."""
    if arguments[:1] == ["--peak"]:
        print(peak(arguments[1]))
        return
    torch.set_num_threads(1)
    console = Console()
    load = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "?"
    model = _processor()
    codes, network, used = code_costs(), network_ratios(), memory()
    result = {
        "processor": model,
        "load_before": load,
        "torch": torch.__version__,
        "threads": 1,
        "batch": BATCH,
        "pairs": PAIRS,
        "codes": codes,
        "network": network,
        "memory": used,
    }
    console.print(f"ResNet-20, batch {BATCH}, 256 x 256 tiles, one thread, median of {PAIRS} interleaved pairs")
    console.print(f"{model}, load {load}", highlight=False)
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("chain", no_wrap=True)
    for heading in ("time /\nfloat", "lowest ..\nhighest", "images/s", "float\nimages/s", "peak memory\n/ float"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, peaks in zip(network, used, strict=True):
        table.add_row(
            row["chain"], f"{row['ratio']:.2f}", f"{row['lowest']:.2f} .. {row['highest']:.2f}",
            f"{row['images_per_second']:.0f}", f"{row['float_images_per_second']:.0f}", f"{peaks['ratio']:.2f}",
        )  # fmt: skip
    console.print(table)
    for row in codes:
        console.print(f"{row['unit']}: {row['ns_per_code']:.2f} ns a code", highlight=False)
    if arguments[:1] == ["--json"]:
        Path(arguments[1]).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
