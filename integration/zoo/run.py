"""The loop of every training: steps, progress, and a state on disk from which a stopped one goes on to the same curve.

Order and alterations of the images depend on (seed, epoch) only. The state is written after every epoch and once a
minute between: weights, optimiser, the generator inside the epoch, sums so far.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.zoo import augment, datasets
from integration.zoo.datasets import Dataset
from integration.zoo.files import atomic
from integration.zoo.recipe import Settings

SAVE_SECONDS = 60.0
"""Between two states inside an epoch."""


def _generator(seed: int, epoch: int) -> torch.Generator:
    key = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)


def _ambient() -> list[Tensor]:
    """Return the states of torch's own generators: the CPU's, and the current CUDA device's where there is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def _set_ambient(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1 and torch.cuda.is_available():
        torch.cuda.set_rng_state(states[1])


class Run(ABC):
    """The mutable part of a training: model, optimiser, epochs and steps done, curve. A training names the rest."""

    def __init__(
        self,
        settings: Settings,
        data: Dataset,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        self.model, self.optimiser = model, optimiser
        self.done = self.step = 0
        self.curve: list[dict[str, float]] = []
        self.images = data.images.permute(0, 2, 3, 1).contiguous().to(device)
        self.labels = data.labels.to(device)
        self.mean, self.std = data.mean, data.std
        self.steps = len(self.labels) // settings.batch  # a last, smaller batch is left out; every epoch another one
        self._begin()

    @abstractmethod
    def set_rate(self, progress: float) -> float:
        """Set the learning rate for a fraction of all steps done; return it, for the curve."""

    @abstractmethod
    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch, and its logits."""

    def measure(self) -> dict[str, float]:
        """Return what else the curve holds of an epoch."""
        return {}

    def _begin(self) -> None:
        self.step, self.loss_sum, self.right = (
            0,
            torch.zeros((), device=self.device),
            torch.zeros((), device=self.device),
        )
        self.generator = _generator(self.settings.seed, self.done)
        self.order = torch.randperm(len(self.labels), generator=self.generator).to(self.device)
        self.ambient: list[Tensor] = []  # states of torch's own generators, which a user's dropout draws from

    def batch(self, index: Tensor) -> Tensor:
        """Return the altered, normalised images of one step, float32 (N, C, 32, 32), channels last."""
        settings, generator = self.settings, self.generator
        raw = augment.crop_and_mirror(self.images[index], settings.crop, settings.flip, generator).permute(0, 3, 1, 2)
        return augment.cutout(datasets.normalise(raw, self.mean, self.std), settings.cutout, generator)

    def epoch(self, tick: Callable[[], None], state: Path) -> None:
        """Go to the end of the epoch; calls `tick()` after every step."""
        with torch.random.fork_rng():
            if self.ambient:
                _set_ambient(self.ambient)
            else:
                torch.manual_seed(self.generator.initial_seed())
            self._epoch(tick, state)

    def _epoch(self, tick: Callable[[], None], state: Path) -> None:
        settings = self.settings
        saved, rate = time.monotonic(), 0.0
        self.model.train()
        while self.step < self.steps:
            rate = self.set_rate((self.done + self.step / self.steps) / settings.epochs)
            index = self.order[self.step * settings.batch : (self.step + 1) * settings.batch]
            labels = self.labels[index]
            loss, logits = self.loss(self.batch(index), labels)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.loss_sum += loss.detach()
            self.right += (logits.detach().argmax(1) == labels).sum()
            self.step += 1
            tick()
            if time.monotonic() - saved > SAVE_SECONDS and self.step < self.steps:
                self.save(state)
                saved = time.monotonic()
        mean_loss, right = float(self.loss_sum) / self.steps, int(self.right)
        self.done += 1
        if not math.isfinite(mean_loss):
            raise UserError(f"training diverged in epoch {self.done} (loss {mean_loss}); lower the learning rate")
        percent = 100 * right / (self.steps * settings.batch)
        point = {"epoch": self.done, "lr": rate, "loss": mean_loss, "train_accuracy": percent}
        self.curve.append(point | self.measure())
        self._begin()

    def save(self, path: Path) -> None:
        """Write everything that the next step needs, whole or not at all."""
        content = {
            "recipe": json.dumps(asdict(self.settings)),
            "done": self.done,
            "step": self.step,
            "sums": torch.stack([self.loss_sum, self.right]),
            "generator": self.generator.get_state(),
            "ambient": _ambient() if self.step else [],
            "curve": json.dumps(self.curve),
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        whole = io.BytesIO()  # torch.save hides the reason when a disk is full
        torch.save(content, whole)
        with atomic(path) as temporary:
            temporary.write_bytes(whole.getbuffer())

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; UserError if it belongs to another recipe or is damaged."""
        mend = f"remove {path} or train without resuming to start again"
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            saved = json.loads(content["recipe"])
            step, sums, inside = int(content["step"]), content["sums"], content["generator"].cpu()
            ambient = [state.cpu() for state in content["ambient"]]
        except Exception as error:
            raise UserError(f"training state {path} is damaged ({type(error).__name__}); {mend}") from error
        own = json.loads(json.dumps(asdict(self.settings)))
        other = [f"{key} {saved.get(key)} instead of {own.get(key)}" for key in own if saved.get(key) != own.get(key)]
        if other or saved.keys() != own.keys():
            raise UserError(f"training state {path} belongs to another recipe ({', '.join(other) or 'fields'}); {mend}")
        try:
            self.model.load_state_dict(content["model"])
            self.optimiser.load_state_dict(content["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(f"training state {path} belongs to another network of this name; {mend}") from error
        self.done, self.curve = int(content["done"]), json.loads(content["curve"])
        self._begin()
        self.step, self.loss_sum, self.right = step, sums[0], sums[1]
        self.generator.set_state(inside)
        self.ambient = ambient


def drive(run: Run, state: Path, console: Console, name: str) -> None:
    """Train to the last epoch, showing progress, writing `state`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    epochs = run.settings.epochs
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        done = run.done * run.steps + run.step
        task = progress.add_task(name, total=epochs * run.steps, completed=done)
        while run.done < epochs:
            begun = time.monotonic()
            run.epoch(lambda: progress.advance(task), state)
            run.save(state)
            last = run.curve[-1]
            text = f"epoch {run.done}/{epochs}  loss {last['loss']:.3f}  train {last['train_accuracy']:.1f} %"
            if "held_out" in last:
                text += f"  held out {last['held_out']:.1f} %"
            progress.update(task, description=text)
            if not console.is_terminal:
                console.print(f"{text}  {time.monotonic() - begun:.1f} s")
