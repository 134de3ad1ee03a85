"""The networks we ship, as plain torch modules, and the door for a reader's own.

Parameter names are those of the public checkpoints (akamaster's CIFAR ResNets, IBM's resnet9s), so that those load by
name. Every module is traceable by `torch.fx` with the default tracer: no branch on data, no custom leaf.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from golden_model.errors import UserError
from integration.zoo.files import importing_from_here


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


class LateResidual(nn.Module):
    """The residual block of resnet9s: y = x + relu(bn2(conv2(relu(bn1(conv1(x)))))), nothing after the add.

    (N, channels, H, W) -> the same shape.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = _conv(channels, channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """y of the class docstring."""
        y = F.relu(self.bn1(self.conv1(x)))
        return x + F.relu(self.bn2(self.conv2(y)))


class ResNet9s(nn.Module):
    """IBM's resnet9s, channels 28, 28, 28, 56; (N, in_channels, 32, 32) -> logits (N, classes).

    100,726 parameters with 3 input channels and 10 classes, the count that HERMES (JSSC 2022) gives.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(in_channels, 28), nn.BatchNorm2d(28)
        self.conv2, self.bn2 = _conv(28, 28), nn.BatchNorm2d(28)
        self.res1 = LateResidual(28)
        self.conv3, self.bn3 = _conv(28, 28), nn.BatchNorm2d(28)
        self.conv4, self.bn4 = _conv(28, 56), nn.BatchNorm2d(56)
        self.res2 = LateResidual(56)
        self.fc = nn.Linear(56, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of normalised images."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.res1(F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2))
        x = F.max_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        x = self.res2(F.max_pool2d(F.relu(self.bn4(self.conv4(x))), 2))
        logits: Tensor = self.fc(torch.flatten(F.max_pool2d(x, 4), 1))
        return logits


class BasicBlock(nn.Module):
    """He's basic block: y = relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x)))))).

    With stride 2 the shortcut is option A: every second row and column, zero channels added on both sides.
    (N, inputs, H, W) -> (N, outputs, H / stride, W / stride). Source: He et al., CVPR 2016, section 4.2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """y of the class docstring."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1 or self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra))
        return F.relu(x + y)


class CifarResNet(nn.Module):
    """He's ResNet for CIFAR, 6 * blocks + 2 layers of 16, 32 and 64 channels; (N, in_channels, 32, 32) -> (N, classes).

    269,722 parameters with 3 blocks a stage and 10 classes, 470,004 with 5 blocks and 100 classes.
    """

    def __init__(self, blocks: int, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(in_channels, 16), nn.BatchNorm2d(16)
        self.layer1 = self._stage(blocks, 16, 16)
        self.layer2 = self._stage(blocks, 16, 32)
        self.layer3 = self._stage(blocks, 32, 64)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(blocks: int, inputs: int, outputs: int) -> nn.Sequential:
        first = BasicBlock(inputs, outputs, 1 if inputs == outputs else 2)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of normalised images."""
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        logits: Tensor = self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


def resnet9s(classes: int = 10, in_channels: int = 3) -> nn.Module:
    """IBM's resnet9s, see `ResNet9s`."""
    return ResNet9s(classes, in_channels)


def resnet20(classes: int = 10, in_channels: int = 3) -> nn.Module:
    """He's 20-layer CIFAR ResNet, see `CifarResNet`."""
    return CifarResNet(3, classes, in_channels)


def resnet32(classes: int = 10, in_channels: int = 3) -> nn.Module:
    """He's 32-layer CIFAR ResNet, see `CifarResNet`."""
    return CifarResNet(5, classes, in_channels)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"resnet9s": resnet9s, "resnet20": resnet20, "resnet32": resnet32}
"""The names that `build` knows without a colon."""


def parameters(model: nn.Module) -> int:
    """The number of trained parameters of a model (batch-norm statistics not counted)."""
    return sum(p.numel() for p in model.parameters())


def build(name: str, *, classes: int = 10, in_channels: int = 3) -> nn.Module:
    """A new network with untrained weights.

    `name` is one of `NETWORKS` or `package.module:factory`, looked for in the current folder too. A factory gets
    `classes` and `in_channels` if it has parameters of these names and is called without arguments otherwise.

    Errors: UserError for an unknown name, a factory that cannot be imported or called, or one that returns no module.
    """
    if classes < 1 or in_channels < 1:
        raise UserError(f"{classes} classes and {in_channels} input channels: both must be at least 1")
    if ":" in name:
        return _from_factory(name, classes, in_channels)
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, 1, 0.4)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"unknown network {name!r}: {hint}allowed are {', '.join(NETWORKS)}, or your own as package.module:factory"
        )
    return NETWORKS[name](classes, in_channels)


def _from_factory(name: str, classes: int, in_channels: int) -> nn.Module:
    module_name, _, attribute = name.partition(":")
    try:
        with importing_from_here():
            module = importlib.import_module(module_name)
    except Exception as error:
        raise UserError(
            f"network {name!r}: importing {module_name!r} failed ({type(error).__name__}: {error}); "
            "name a module that Python finds from this folder, as package.module:factory"
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise UserError(f"network {name!r}: {module_name!r} has no function {attribute!r}; give package.module:factory")
    offered = {"classes": classes, "in_channels": in_channels}
    try:
        wanted = inspect.signature(factory).parameters
        missing = [
            p.name
            for p in wanted.values()
            if p.name not in offered and p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        if missing:
            raise UserError(
                f"network {name!r}: the factory needs {', '.join(missing)}; "
                "it may ask for classes and in_channels only, give every other parameter a default"
            )
        model = factory(**{key: value for key, value in offered.items() if key in wanted})
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"network {name!r}: calling the factory failed ({type(error).__name__}: {error})") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"network {name!r}: the factory returned {type(model).__name__}; it must return a torch module")
    return model
