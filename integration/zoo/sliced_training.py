"""Train a network on bit-sliced tiles: first with exact integer sums, then with comparators and learned scale factors.

Adam with a cosine behind a short warm-up, three learning rates (weights and batch norm; scales; steps), and half of the
loss from a teacher's logits. The last images of the training set are held out: the curve shows the accuracy on them
after every epoch, and choices are made on them. The test set is looked at once, at the end.
"""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from golden_model.errors import UserError
from integration.zoo import checkpoint, datasets, networks
from integration.zoo.batch_norms import NORMS, estimate, split_at_arrays
from integration.zoo.datasets import Dataset, Split
from integration.zoo.files import writable
from integration.zoo.recipe import Settings, fast_bf16, file_hash, within
from integration.zoo.run import Run, drive
from integration.zoo.sliced import Sums, constrain, set_sums, slice_network, sliced_layers
from integration.zoo.training import QUICK_EPOCHS, QUICK_IMAGES, Trained, accuracy, device, finish
from sim.bit_slices import SlicedTile
from sim.presets import sliced_preset

CALIBRATION_IMAGES = 64
"""Training images that scales are fitted on."""
NORM_IMAGES, SETTLING_IMAGES = 2048, 8192
"""Training images that batch norms are estimated again on: after calibration, and at the end of a training."""
EPOCHS = {Sums.INTEGER: 5, Sums.COMPARATOR: 15}
"""Epochs where the caller names neither epochs nor minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicedRecipe(Settings):
    """Everything that decides the weights of a network on bit-sliced tiles."""

    preset: str
    ternary: bool
    sums: str  # what a layer makes of its column sums: integer, comparator
    start: str  # hash of the checkpoint that it starts from
    teacher: str  # hash of the checkpoint that it learns from
    rate: float = 1e-3  # of weights and batch norm
    scale_rate: float = 5e-3  # of scale factors, in cells
    step_rate: float = 1e-4  # of the steps of inputs, weights and scale codes
    warm_up: int = 20  # steps
    distillation: float = 0.5  # part of the loss that is the teacher's
    temperature: float = 2.0  # of both logits in that part
    held_out: int = 2500  # training images that are not trained on

    def __post_init__(self) -> None:
        Settings.__post_init__(self)
        rates = {"rate": (1e-8, 0.2), "scale_rate": (1e-8, 1.0), "step_rate": (1e-8, 1.0)}
        limits = {
            "warm_up": (0, 100_000),
            "distillation": (0.0, 1.0),
            "temperature": (0.1, 100.0),
            "held_out": (0, 1_000_000),
        }
        within(rates | limits, self)


class _SlicedRun(Run):
    settings: SlicedRecipe

    def __init__(
        self,
        recipe: SlicedRecipe,
        data: Dataset,
        held_out: Dataset,
        model: nn.Module,
        teacher: nn.Module,
        where: torch.device,
    ) -> None:
        named = dict(model.named_parameters())
        steps = [p for name, p in named.items() if name.rpartition(".")[2].startswith("step_") or "scale_step" in name]
        scales = [p for name, p in named.items() if name.endswith(".scale")]
        special = {id(p) for p in (*steps, *scales)}
        weights = [p for p in named.values() if id(p) not in special]
        self.rates = (recipe.rate, recipe.scale_rate, recipe.step_rate)
        groups = [
            {"params": params, "lr": rate} for params, rate in zip((weights, scales, steps), self.rates, strict=True)
        ]
        optimiser = torch.optim.Adam(groups)
        layers = sliced_layers(model)
        optimiser.register_step_post_hook(lambda *_: constrain(layers))
        super().__init__(recipe, data, model, optimiser, where)
        self.held_out, self.teacher = held_out, teacher.eval()

    def set_rate(self, progress: float) -> float:
        """Linear warm-up, then a cosine to 0."""
        step = progress * self.settings.epochs * self.steps
        part = min(1.0, (step + 1) / max(1, self.settings.warm_up)) * (1 + math.cos(math.pi * progress)) / 2
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * part
        return self.rates[0] * part

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy with the labels, and with the teacher's softened logits."""
        settings = self.settings
        with torch.autocast(self.device.type, torch.bfloat16, enabled=settings.bf16):
            logits = self.model(images).float()
            own = F.cross_entropy(logits, labels)
            if settings.distillation == 0:
                return own, logits
            with torch.no_grad():
                wanted = F.softmax(self.teacher(images).float() / settings.temperature, 1)
        soft = F.cross_entropy(logits / settings.temperature, wanted) * settings.temperature**2
        return (1 - settings.distillation) * own + settings.distillation * soft, logits

    def measure(self) -> dict[str, float]:
        """Accuracy on the images held out."""
        return {"held_out": accuracy(self.model, self.held_out)} if len(self.held_out) else {}

    def settle(self, console: Console) -> None:
        """Estimate the batch norms' statistics over many batches of the epoch that would come next, altered as ever.

        Those of training follow its last ten batches alone; comparators pass their noise on: the accuracy on the images
        held out moves by half a point from one such estimate to another.
        """
        batch, count = self.settings.batch, min(self.steps, -(-SETTLING_IMAGES // self.settings.batch))
        norms = [module for module in self.model.modules() if isinstance(module, NORMS)]
        steps = track(range(count), "batch norms", console=console, transient=True)
        self.model.train()
        with torch.random.fork_rng(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bf16):
            torch.manual_seed(self.generator.initial_seed())  # a user's dropout draws from it
            estimate(self.model, norms, (self.batch(self.order[i * batch : (i + 1) * batch]) for i in steps))
        self.model.eval()
        self._begin()  # as if nothing had been drawn
        self.curve[-1] |= {f"settled_{name}": value for name, value in self.measure().items()}


def load_sliced(path: Path, tile: SlicedTile, *, classes: int, channels: int, network: str) -> tuple[nn.Module, bool]:
    """Return a network on the tile with a checkpoint's weights, and whether that held steps and scales as well.

    Errors: UserError for a checkpoint of another network or another tile.
    """
    model = networks.build(network, classes=classes, in_channels=channels)
    known = any(name.endswith("step_weight") for name in checkpoint.load_state(path))
    if not known:
        checkpoint.load_into(model, path)
    model = slice_network(model, tile)
    if known:
        checkpoint.load_into(model, path)
    return model, known


def restore(path: Path) -> tuple[nn.Module, checkpoint.Card]:
    """Return the network that a checkpoint's sidecar names, in evaluation mode, and the sidecar, whatever its tile.

    Errors: UserError as in `checkpoint.restore`.
    """
    card = checkpoint.read_card(path)
    if card is None or "sums" not in card.recipe:  # not for a bit-sliced tile
        return checkpoint.restore(path)
    tile = sliced_preset(card.recipe["preset"])
    tile = replace(tile, readout=replace(tile.readout, ternary=card.recipe["ternary"]))
    model, _ = load_sliced(path, tile, classes=card.classes, channels=card.in_channels, network=card.network)
    set_sums(model, Sums(card.recipe["sums"]))
    return model.eval(), card


def calibrate(model: nn.Module, images: Tensor, sums: Sums) -> None:
    """Set steps (integer) or thresholds and scales (comparator) of a sliced network layer by layer, then batch norm.

    `images`: normalised training images; the first `CALIBRATION_IMAGES` set the layers, each seeing what those before
    it already make of them, the first `NORM_IMAGES` the statistics of the batch norms. Those in front of all sliced
    layers keep what they learned: nothing has changed there, and training saw crops, whose black borders these lack.
    """
    set_sums(model, sums)
    layers = sliced_layers(model)
    norms, kept = split_at_arrays(model, images[:1])
    model.train()
    for norm in kept:
        norm.eval()
    with torch.no_grad():
        for layer in layers:
            layer.preparing = True
        try:
            model(images[:CALIBRATION_IMAGES].contiguous(memory_format=torch.channels_last))
        finally:
            for layer in layers:
                layer.preparing = False
    count = min(NORM_IMAGES, len(images))
    batches = (images[start : min(start + 256, count)] for start in range(0, count, 256))
    estimate(model, norms, (batch.contiguous(memory_format=torch.channels_last) for batch in batches))
    model.eval()


def train_sliced(
    network: str,
    dataset: str,
    tile: SlicedTile,
    start: Path,
    *,
    sums: Sums = Sums.COMPARATOR,
    teacher: Path | None = None,
    data: Path | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch: int = 256,
    seed: int = 0,
    output: Path | None = None,
    threads: int | None = None,
    resume: bool = True,
    quick: bool = False,
    rate: float = 1e-3,
    scale_rate: float | None = None,
    step_rate: float | None = None,
    distillation: float = 0.5,
    temperature: float = 2.0,
    held_out: int | None = None,
    crop: int = 4,
    flip: bool | None = None,
    cutout: int = 0,
    bf16: bool | None = None,
    console: Console | None = None,
) -> Trained:
    """Train `network` on bit-sliced tiles and write the checkpoint `output` with its sidecar.

    `start`: the checkpoint to start from. Integer sums start from a float network; comparators from one trained with
    integer sums, which is calibrated first, or from one trained with comparators. `teacher`: a float checkpoint;
    `start`, with exact sums, by default. `minutes`: a budget instead of `epochs`, turned into whole epochs by timing a
    step, once: a resumed training keeps the number. `rate`: Adam's largest, of weights and batch norms; of scales five
    times as much and of steps a tenth, unless named. `held_out`: a twentieth of the images by default. The rest as in
    `training.train`.

    Errors: UserError as there, and for a start that does not fit.
    """
    known = datasets.source(dataset)
    kind = f"{tile.name}_{'integer' if sums is Sums.INTEGER else 'ternary' if tile.readout.ternary else 'binary'}"
    output = output or Path("out") / f"{network.replace(':', '.')}_{dataset}_{kind}.npz"
    if output.suffix != ".npz":
        raise UserError(f"training: output {output} must end in .npz")
    if epochs is not None and minutes is not None:
        raise UserError("training: name epochs or minutes, not both")
    if threads is not None and threads < 1:
        raise UserError(f"training: {threads} threads, at least 1 is needed")
    training = datasets.load(dataset, data, Split.TRAIN)
    if quick:
        training = training.first(QUICK_IMAGES)
    kept_out = len(training) // 20 if held_out is None else held_out
    recipe = SlicedRecipe(
        network=network,
        dataset=dataset,
        epochs=epochs if epochs is not None else QUICK_EPOCHS if quick else EPOCHS[sums],
        batch=batch,
        seed=seed,
        crop=crop,
        flip=known.mirror if flip is None else flip,
        cutout=cutout,
        bf16=fast_bf16() if bf16 is None else bf16,
        quick=quick,
        preset=tile.name,
        ternary=tile.readout.ternary,
        sums=str(sums),
        start=file_hash(start),
        teacher=file_hash(teacher or start),
        rate=rate,
        scale_rate=5 * rate if scale_rate is None else scale_rate,
        step_rate=rate / 10 if step_rate is None else step_rate,
        distillation=distillation,
        temperature=temperature,
        held_out=kept_out,
    )
    if len(training) - kept_out < batch:
        raise UserError(f"training: batch is {batch}, {len(training) - kept_out} images are left of {dataset}")
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return _train(
            recipe, tile, start, teacher, training, data, minutes, output, resume, console or Console(stderr=True)
        )
    finally:
        torch.set_num_threads(before)


def _train(
    recipe: SlicedRecipe,
    tile: SlicedTile,
    start: Path,
    teacher: Path | None,
    training: Dataset,
    folder: Path | None,
    minutes: float | None,
    output: Path,
    resume: bool,
    console: Console,
) -> Trained:
    started, where, sums = time.monotonic(), device(), Sums(recipe.sums)
    state = output.with_suffix(".state.pt")
    classes, channels = training.classes, training.channels
    model, known = load_sliced(start, tile, classes=classes, channels=channels, network=recipe.network)
    if sums is Sums.COMPARATOR and not known:
        raise UserError(f"{start} is a float checkpoint: train it with integer sums first, then with comparators")
    if teacher is None and known:
        guide = copy.deepcopy(model)  # with exact sums, as it is set from the start
    else:
        guide = networks.build(recipe.network, classes=classes, in_channels=channels)
        checkpoint.load_into(guide, teacher or start)
    card = checkpoint.read_card(start)
    began = card.recipe.get("sums") if card is not None else None
    same = began == recipe.sums and card is not None and card.recipe.get("ternary") == recipe.ternary
    count = len(training) - recipe.held_out
    held_out = replace(training, images=training.images[count:], labels=training.labels[count:])
    training = training.first(count)
    writable(output)
    going_on = resume and state.exists()  # with weights and statistics of its own
    if same or going_on:
        set_sums(model, sums)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)  # a user's dropout draws from it
            calibrate(model, training.normalised(0, NORM_IMAGES), sums)
        if len(held_out):
            console.print(f"calibrated: {accuracy(model, held_out):.2f} % on {len(held_out)} images held out")
    for layer in sliced_layers(model):
        layer.bf16 = recipe.bf16
    model, guide = (convert_conv2d_weight_memory_format(each.to(where), torch.channels_last) for each in (model, guide))
    if minutes is not None:
        recipe = replace(
            recipe,
            epochs=_epochs(recipe, training, held_out, model, guide, where, minutes, state if going_on else None),
        )
    run = _SlicedRun(recipe, training, held_out, model, guide, where)
    if going_on:
        run.resume(state)
    drive(run, state, console, f"{recipe.network} {recipe.dataset} {recipe.preset} {recipe.sums}")
    if sums is Sums.COMPARATOR:
        run.settle(console)
    return finish(run, training, folder, output, state, started)


def _epochs(
    recipe: SlicedRecipe,
    training: Dataset,
    held_out: Dataset,
    model: nn.Module,
    guide: nn.Module,
    where: torch.device,
    minutes: float,
    state: Path | None,
) -> int:
    """Return the whole epochs that fit a budget, at least 1: a stopped training's own, else by timing three steps."""
    if state is not None:
        try:
            return int(json.loads(torch.load(state, weights_only=True)["recipe"])["epochs"])
        except Exception:  # a damaged state: `resume` says so
            return recipe.epochs
    trial = _SlicedRun(recipe, training, held_out, copy.deepcopy(model), guide, where)
    trial.model.train()
    seconds = []
    for _ in range(4):
        begun = time.monotonic()
        index = trial.order[: recipe.batch]
        torch.autograd.backward(trial.loss(trial.batch(index), trial.labels[index])[0])
        seconds.append(time.monotonic() - begun)
    return max(1, int(60 * minutes / (min(seconds[1:]) * trial.steps * 1.05)))
