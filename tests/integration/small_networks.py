"""Small untrained networks that between them hold every operation that can be mapped."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def statistics(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics and weights of both signs, as training does."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean = torch.randn(module.num_features, generator=generator) * 0.3
            module.running_var = torch.rand(module.num_features, generator=generator) * 2 + 0.5
            module.weight.data = torch.randn(module.num_features, generator=generator)
            module.bias.data = torch.randn(module.num_features, generator=generator) * 0.3
    return model.eval()


def seeded(build: type[nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return statistics(build(), seed)


class EveryOperation(nn.Module):
    """Convolutions with bias, stride, dilation, 1x1; both ReLU positions; pools; shortcuts; two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.conv = nn.Conv2d(8, 8, 3, padding="same", dilation=2)
        self.bn = nn.BatchNorm2d(8, eps=0.1)
        self.down = nn.Conv2d(8, 16, (3, 5), stride=2, padding=(1, 2))
        self.project = nn.Conv2d(8, 16, 1, stride=2, bias=False)
        self.project_bn = nn.BatchNorm2d(16)
        self.late = nn.Conv2d(16, 16, 3, padding=1)
        self.last = nn.Conv2d(24, 12, 1)
        self.pool = nn.AvgPool2d(2)
        self.adaptive = nn.AdaptiveAvgPool2d(2)
        self.drop = nn.Dropout()
        self.hidden = nn.Linear(48, 20)
        self.hidden_bn = nn.BatchNorm1d(20)
        self.head = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.bn(self.conv(x)) + x)
        x = F.relu(self.down(x) + self.project_bn(self.project(x)))
        x = torch.add(x, torch.relu(self.late(x)))
        x = F.max_pool2d(x, 3, stride=1, padding=1)
        x = F.pad(x[:, :, ::1, ::1], (0, 0, 0, 0, 4, 4))
        x = self.last(x).relu()
        x = self.pool(x)
        x = self.adaptive(x)
        x = self.drop(torch.flatten(x, 1))
        x = torch.relu(self.hidden_bn(self.hidden(x)))
        return self.head(x.view(x.size(0), -1))


class MeanHead(nn.Module):
    """A wide layer of three row tiles, mean over height and width, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.wide = nn.Conv2d(64, 24, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.bn(self.wide(x)))
        return self.head(x.mean((2, 3)))
