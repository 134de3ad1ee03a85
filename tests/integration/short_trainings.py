"""Trainings of a tiny network that take a second."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from integration.zoo.training import Trained, train

NET = "zoo_tiny_network:net"


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo_tiny_network.py").write_text(
        "from torch import nn\n"
        "def net(classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 8, 5, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(),\n"
        "                         nn.Flatten(), nn.Linear(8 * 49, classes))\n"
    )
    monkeypatch.chdir(tmp_path)


def short(output: Path, **changes: Any) -> Trained:
    arguments: dict[str, Any] = {"epochs": 3, "quick": True, "threads": 1, "bf16": False, "peak_lr": 0.05}
    return train(NET, "digits", output=output, console=Console(file=io.StringIO()), **{**arguments, **changes})
