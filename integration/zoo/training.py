"""Train a float network: SGD with Nesterov momentum and one cycle of the learning rate, resumable to the same curve.

The test set is looked at once, at the end.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from golden_model.errors import UserError
from integration.zoo import checkpoint, datasets, networks
from integration.zoo.datasets import Dataset, Split
from integration.zoo.files import writable
from integration.zoo.noisy import Noise, clip_weights, make_noisy, make_plain
from integration.zoo.recipe import EPOCHS, NoisyRecipe, Recipe, fast_bf16, file_hash, one_cycle, tile_hash
from integration.zoo.run import Run, drive

QUICK_EPOCHS, QUICK_IMAGES = 2, 1280


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What `train` leaves: the checkpoint, its sidecar's content, and the seconds of this call."""

    path: Path
    card: checkpoint.Card
    seconds: float


def accuracy(model: nn.Module, data: Dataset, *, batch: int = 500, limit: int | None = None) -> float:
    """Top-1 accuracy in %, FP32, on the first `limit` images; the model is left in evaluation mode."""
    model.eval()
    count = len(data) if limit is None else min(limit, len(data))
    device = next(model.parameters()).device
    right = 0
    with torch.inference_mode():
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            images = data.normalised(start, stop).to(device).contiguous(memory_format=torch.channels_last)
            right += int((model(images).argmax(1).cpu() == data.labels[start:stop]).sum())
    return 100 * right / count


class _FloatRun(Run):
    """A float network: SGD with Nesterov momentum, one cycle; under noise where there is some."""

    settings: Recipe

    def __init__(
        self, recipe: Recipe, data: Dataset, device: torch.device, start: Path | None, noise: Noise | None
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            model = networks.build(recipe.network, classes=data.classes, in_channels=data.channels)
        if start is not None:
            checkpoint.load_into(model, start)
        if noise is not None:
            make_noisy(model, noise, lambda: self.generator)
        model = convert_conv2d_weight_memory_format(model.to(device), torch.channels_last)
        weights = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=True)
        if noise is not None:
            optimiser.register_step_post_hook(lambda *_: clip_weights(model))
        super().__init__(recipe, data, model, optimiser, device)

    def set_rate(self, progress: float) -> float:
        """One cycle."""
        rate = one_cycle(progress, self.settings.peak_lr, self.settings.warm_up)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bf16):
            logits = self.model(images).float()
        return F.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing), logits


def train(
    network: str,
    dataset: str,
    *,
    data: Path | None = None,
    epochs: int | None = None,
    batch: int = 128,
    seed: int = 0,
    output: Path | None = None,
    state: Path | None = None,
    threads: int | None = None,
    resume: bool = True,
    quick: bool = False,
    start: Path | None = None,
    noise: Noise | None = None,
    peak_lr: float = 0.3,
    warm_up: float = 0.2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    crop: int = 4,
    flip: bool | None = None,
    cutout: int = 6,
    label_smoothing: float = 0.0,
    bf16: bool | None = None,
    console: Console | None = None,
) -> Trained:
    """Train `network` on `dataset` and write the checkpoint `output` with its sidecar.

    Parameters beyond those of `Recipe`: `data`, the folder of the data set; `epochs`, `EPOCHS` by default; `output`,
    out/NETWORK_DATASET.npz by default; `state`, the file that carries a stopped training, beside the output by
    default, written after every epoch and removed at the end; `threads` of torch, its own choice by default (resumed
    with another number, the last bits may differ); `flip` by default where a mirrored image keeps its class; `bf16`
    by default where the machine is faster with it; `quick`, 2 epochs on 1,280 images; `start`, a checkpoint of the same
    network to start from; `noise`, what the network is trained to bear; `console` for the progress bar.

    Errors: UserError for values outside their range, unknown names, missing data, a start of another network, a state
    of another recipe, and a loss that is not finite.
    """
    known = datasets.source(dataset)
    fields: dict[str, Any] = dict(
        network=network,
        dataset=dataset,
        epochs=epochs if epochs is not None else QUICK_EPOCHS if quick else EPOCHS[dataset],
        batch=batch,
        seed=seed,
        peak_lr=peak_lr,
        warm_up=warm_up,
        momentum=momentum,
        weight_decay=weight_decay,
        crop=crop,
        flip=known.mirror if flip is None else flip,
        cutout=cutout,
        label_smoothing=label_smoothing,
        bf16=fast_bf16() if bf16 is None else bf16,
        quick=quick,
        start=file_hash(start) if start is not None else "",
    )
    if noise is None:
        recipe = Recipe(**fields)
    else:
        recipe = NoisyRecipe(**fields, preset=noise.tile.name, tile=tile_hash(noise.tile), **noise.fields())
    name = f"{network.replace(':', '.')}_{dataset}" + (f"_{noise.tile.name}" if noise is not None else "")
    output = output or Path("out") / f"{name}.npz"
    if output.suffix != ".npz":
        raise UserError(f"training: output {output} must end in .npz")
    state = state or output.with_suffix(".state.pt")
    if threads is not None and threads < 1:
        raise UserError(f"training: {threads} threads, at least 1 is needed")
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return _train(recipe, data, start, noise, output, state, resume, console or Console(stderr=True))
    finally:
        torch.set_num_threads(before)


def _train(
    recipe: Recipe,
    folder: Path | None,
    start: Path | None,
    noise: Noise | None,
    output: Path,
    state: Path,
    resume: bool,
    console: Console,
) -> Trained:
    started = time.monotonic()
    training = datasets.load(recipe.dataset, folder, Split.TRAIN)
    if recipe.quick:
        training = training.first(QUICK_IMAGES)
    if len(training) < recipe.batch:
        raise UserError(f"training: batch is {recipe.batch}, {recipe.dataset} has only {len(training)} images")
    run = _FloatRun(recipe, training, device(), start, noise)
    if resume and state.exists():
        run.resume(state)
    writable(output)
    drive(run, state, console, output.stem)
    make_plain(run.model)
    return finish(run, training, folder, output, state, started)


def device() -> torch.device:
    """Return where trainings run: CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def finish(run: Run, training: Dataset, folder: Path | None, output: Path, state: Path, started: float) -> Trained:
    """Measure on the test images, write checkpoint and sidecar, remove the state."""
    settings = run.settings
    test = datasets.load(settings.dataset, folder, Split.TEST)
    card = checkpoint.Card(
        network=settings.network,
        dataset=settings.dataset,
        classes=training.classes,
        in_channels=training.channels,
        mean=training.mean,
        std=training.std,
        parameters=networks.parameters(run.model),
        accuracy=accuracy(run.model, test, limit=QUICK_IMAGES if settings.quick else None),
        seed=settings.seed,
        epochs=settings.epochs,
        recipe=asdict(settings),
        curve=run.curve,
    )
    checkpoint.save_state(output, run.model.state_dict())
    checkpoint.write_card(output, card)
    state.unlink(missing_ok=True)
    return Trained(path=output, card=card, seconds=time.monotonic() - started)
