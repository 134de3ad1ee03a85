"""Train a network: SGD with Nesterov momentum and one cycle of the learning rate, resumable to the same curve.

Order and alterations of the images depend on (seed, epoch) only, so that a run that was stopped after any epoch and
called again ends in the same weights as one that was not. The test set is looked at once, at the end.
"""

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.zoo import augment, checkpoint, datasets, networks
from integration.zoo.datasets import Dataset, Split
from integration.zoo.files import atomic
from integration.zoo.recipe import EPOCHS, Recipe, fast_bf16, one_cycle

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


def _generator(seed: int, epoch: int) -> torch.Generator:
    key = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)


class _Run:
    """The mutable part of a training: model, optimiser, epochs done, curve."""

    def __init__(self, recipe: Recipe, data: Dataset, device: torch.device) -> None:
        self.recipe, self.device, self.done = recipe, device, 0
        self.curve: list[dict[str, float]] = []
        self.images = data.images.permute(0, 2, 3, 1).contiguous().to(device)
        self.labels = data.labels.to(device)
        self.mean, self.std = data.mean, data.std
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            model = networks.build(recipe.network, classes=data.classes, in_channels=data.channels)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types memory_format for one overload only
        weights = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.SGD(groups, lr=recipe.peak_lr, momentum=recipe.momentum, nesterov=True)
        self.steps = len(self.labels) // recipe.batch  # a last, smaller batch is left out; every epoch another one

    def batch(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """The altered, normalised images of one step, float32 (N, C, 32, 32), channels last."""
        recipe = self.recipe
        raw = augment.crop_and_mirror(self.images[index], recipe.crop, recipe.flip, generator).permute(0, 3, 1, 2)
        return augment.cutout(datasets.normalise(raw, self.mean, self.std), recipe.cutout, generator)

    def epoch(self, tick: Any) -> None:
        """One pass over the training images; calls `tick()` after every step."""
        recipe, generator = self.recipe, _generator(self.recipe.seed, self.done)
        order = torch.randperm(len(self.labels), generator=generator).to(self.device)
        loss_sum = torch.zeros((), device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        rate = 0.0
        self.model.train()
        for step in range(self.steps):
            rate = one_cycle((self.done + step / self.steps) / recipe.epochs, recipe.peak_lr, recipe.warm_up)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            index = order[step * recipe.batch : (step + 1) * recipe.batch]
            labels = self.labels[index]
            with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
                logits = self.model(self.batch(index, generator)).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
            self.optimiser.step()
            loss_sum += loss.detach()
            right += (logits.detach().argmax(1) == labels).sum()
            tick()
        self.done += 1
        mean_loss = float(loss_sum) / self.steps
        if not math.isfinite(mean_loss):
            raise UserError(
                f"training diverged in epoch {self.done} (loss {mean_loss}); lower peak_lr {recipe.peak_lr}"
            )
        percent = 100 * int(right) / (self.steps * recipe.batch)
        self.curve.append({"epoch": self.done, "lr": rate, "loss": mean_loss, "train_accuracy": percent})

    def save(self, path: Path) -> None:
        """Write everything that the next epoch needs, whole or not at all."""
        content = {
            "recipe": json.dumps(asdict(self.recipe)),
            "done": self.done,
            "curve": json.dumps(self.curve),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with atomic(path) as temporary:
            torch.save(content, temporary)

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; UserError if it belongs to another recipe or is damaged."""
        mend = f"remove {path} or train without resuming to start again"
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            saved = json.loads(content["recipe"])
        except Exception as error:
            raise UserError(f"training state {path} is damaged ({type(error).__name__}); {mend}") from error
        own = json.loads(json.dumps(asdict(self.recipe)))
        other = [f"{key} {saved.get(key)} instead of {own.get(key)}" for key in own if saved.get(key) != own.get(key)]
        if other or saved.keys() != own.keys():
            raise UserError(f"training state {path} belongs to another recipe ({', '.join(other) or 'fields'}); {mend}")
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.done, self.curve = int(content["done"]), json.loads(content["curve"])


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
    by default where the machine is faster with it; `quick`, 2 epochs on 1,280 images; `console` for the progress bar.

    Errors: UserError for values outside their range, unknown names, missing data, a state of another recipe, and a
    loss that is not finite.
    """
    known = datasets.source(dataset)
    recipe = Recipe(
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
    )
    output = output or Path("out") / f"{network.replace(':', '.')}_{dataset}.npz"
    if output.suffix != ".npz":
        raise UserError(f"training: output {output} must end in .npz")
    state = state or output.with_suffix(".state.pt")
    if threads is not None and threads < 1:
        raise UserError(f"training: {threads} threads, at least 1 is needed")
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return _train(recipe, data, output, state, resume, console or Console(stderr=True))
    finally:
        torch.set_num_threads(before)


def _train(recipe: Recipe, folder: Path | None, output: Path, state: Path, resume: bool, console: Console) -> Trained:
    started = time.monotonic()
    training = datasets.load(recipe.dataset, folder, Split.TRAIN)
    if recipe.quick:
        training = training.first(QUICK_IMAGES)
    if len(training) < recipe.batch:
        raise UserError(f"training: batch is {recipe.batch}, {recipe.dataset} has only {len(training)} images")
    run = _Run(recipe, training, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if resume and state.exists():
        run.resume(state)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        total = recipe.epochs * run.steps
        task = progress.add_task(f"{recipe.network} {recipe.dataset}", total=total, completed=run.done * run.steps)
        while run.done < recipe.epochs:
            begun = time.monotonic()
            run.epoch(lambda: progress.advance(task))
            run.save(state)
            last = run.curve[-1]
            text = f"epoch {run.done}/{recipe.epochs}  loss {last['loss']:.3f}  train {last['train_accuracy']:.1f} %"
            progress.update(task, description=text)
            if not console.is_terminal:
                console.print(f"{text}  {time.monotonic() - begun:.1f} s")
    test = datasets.load(recipe.dataset, folder, Split.TEST)
    card = checkpoint.Card(
        network=recipe.network,
        dataset=recipe.dataset,
        classes=training.classes,
        in_channels=training.channels,
        mean=training.mean,
        std=training.std,
        parameters=networks.parameters(run.model),
        accuracy=accuracy(run.model, test, limit=QUICK_IMAGES if recipe.quick else None),
        seed=recipe.seed,
        epochs=recipe.epochs,
        recipe=asdict(recipe),
        curve=run.curve,
    )
    checkpoint.save_state(output, run.model.state_dict())
    checkpoint.write_card(output, card)
    state.unlink(missing_ok=True)
    return Trained(path=output, card=card, seconds=time.monotonic() - started)
