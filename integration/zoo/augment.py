"""Batches of altered training images, whole batches at once: random crop, mirror, cutout.

All random numbers come from one CPU generator in a fixed order, so that a seed gives the same batches on every device.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_and_mirror(images: Tensor, pad: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """Crop each image at a random place of its copy padded with zeros by `pad`, then mirror half of them.

    uint8 (N, H, W, C) -> the same shape. Shifts are uniform over -pad..pad in both directions.
    """
    count, height, width, channels = images.shape
    device = images.device
    shift = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator).to(device)
    turned = torch.randint(0, 2, (count, 1), generator=generator).bool().to(device)
    rows = shift[0] + torch.arange(height, device=device)
    across = torch.arange(width, device=device)
    columns = shift[1] + (torch.where(turned, width - 1 - across, across) if mirror else across)
    padded = F.pad(images, (0, 0, pad, pad, pad, pad)).reshape(-1, channels)
    image = torch.arange(count, device=device).view(-1, 1, 1) * (height + 2 * pad) * (width + 2 * pad)
    index = image + rows.unsqueeze(2) * (width + 2 * pad) + columns.unsqueeze(1)
    return padded.index_select(0, index.view(-1)).view(count, height, width, channels)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Set a random square of `size` pixels of each image to 0, the mean after normalisation; (N, C, H, W).

    The square lies inside the image; its place is uniform.
    """
    count, _, height, width = images.shape
    if size == 0:
        return images
    top = torch.randint(0, height - size + 1, (count, 1), generator=generator)
    left = torch.randint(0, width - size + 1, (count, 1), generator=generator)
    rows, columns = torch.arange(height), torch.arange(width)
    inside_rows = (rows >= top) & (rows < top + size)
    inside_columns = (columns >= left) & (columns < left + size)
    keep = ~(inside_rows.unsqueeze(2) & inside_columns.unsqueeze(1)).unsqueeze(1)
    return images * keep.to(images)
