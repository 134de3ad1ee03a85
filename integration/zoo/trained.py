"""A network with its weights, ready to run: by the name of a shipped one, or from a checkpoint of the user's."""

from pathlib import Path

from torch import nn

from golden_model.errors import UserError
from integration.zoo import checkpoint, networks
from integration.zoo.datasets import Dataset


def weights(network: str, dataset: str, path: Path | None = None) -> Path | None:
    """The checkpoint file of a network: the one named, else the shipped one; None for a factory without any.

    `path` may also be the bare name of one that ships, as resnet9s_cifar10_hermes.

    Errors: UserError where none is named and none is shipped, and for a name that is neither.
    """
    if path is not None:
        return checkpoint.named(path)
    if ":" not in network:
        path = checkpoint.shipped(network, dataset)
        if path is None:
            raise UserError(
                f"no checkpoint of {network} on {dataset} is shipped: name one with --checkpoint, or "
                f"make one with nmpu train --network {network} --dataset {dataset}"
            )
    return path


def trained(
    network: str, data: Dataset, path: Path | None = None
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """The model in evaluation mode, and mean and std a channel that its images are normalised with.

    The normalisation is that of the checkpoint's sidecar, else the data set's. Errors: UserError as in `weights`,
    `networks.build` and `checkpoint.load_into`.
    """
    model = networks.build(network, classes=data.classes, in_channels=data.channels)
    mean, std = data.mean, data.std
    path = weights(network, data.name, path)
    if path is not None:
        checkpoint.load_into(model, path)
        card = checkpoint.read_card(path)
        if card is not None:
            mean, std = tuple(card.mean), tuple(card.std)
    return model.eval(), mean, std
