"""Statistics of batch norms, estimated again: which ones a change of the layers concerns, and over which batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from integration.zoo.sliced import SlicedConv2d

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def estimate(model: nn.Module, norms: Sequence[Norm], batches: Iterable[Tensor]) -> None:
    """Replace the statistics of batch norms, in training mode, by their plain mean over batches."""
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    try:
        with torch.no_grad():
            for images in batches:
                model(images)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def split_at_arrays(model: nn.Module, images: Tensor) -> tuple[list[Norm], list[Norm]]:
    """Return the batch norms behind the first sliced layer, and those that run before it."""
    order: list[nn.Module] = []
    wanted = [module for module in model.modules() if isinstance(module, (*NORMS, SlicedConv2d))]
    hooks = [module.register_forward_pre_hook(lambda module, _: order.append(module)) for module in wanted]
    try:
        with torch.no_grad():
            model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    first = next((i for i, module in enumerate(order) if isinstance(module, SlicedConv2d)), len(order))
    kept = [module for module in order[:first] if isinstance(module, NORMS)]
    return [module for module in wanted if isinstance(module, NORMS) and module not in kept], kept
