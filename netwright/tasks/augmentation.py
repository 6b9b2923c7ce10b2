"""Random changes of a training batch: whole batches at once, draws always on the CPU.

Drawing on the CPU gives the same changes on every device.
"""

from __future__ import annotations

import torch


def shifted(inputs: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """Each sample moved by up to `most`: images [N, C, H, W] in both directions with zeros coming in,
    sequences [N, T, F] in time with the first or last step repeated.
    """
    rows = _positions(inputs, inputs.shape[-2], most, generator)
    batch = torch.arange(len(inputs), device=inputs.device)[:, None]
    if inputs.ndim == 3:
        return inputs[batch, rows.clamp(0, inputs.shape[1] - 1)]
    columns = _positions(inputs, inputs.shape[-1], most, generator)
    padded = torch.nn.functional.pad(inputs, (most,) * 4)
    moved = padded[batch[:, :, None], :, (rows + most)[:, :, None], (columns + most)[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def flipped(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images [N, C, H, W], about half of them mirrored left to right."""
    return _flipped_where(torch.rand(len(images), generator=generator) < 0.5, images)


def flipped_together(
    images: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [N, C, H, W] and targets [N, ..., H, W], the same half of both mirrored left to right."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return _flipped_where(chosen, images), _flipped_where(chosen, targets)


def _flipped_where(chosen: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    shape = (-1, *[1] * (images.ndim - 1))
    return torch.where(chosen.to(images.device).reshape(shape), images.flip(-1), images)


def _positions(inputs: torch.Tensor, size: int, most: int, generator: torch.Generator) -> torch.Tensor:
    """For each sample the places [N, size] its values come from; outside 0..size-1 nothing is stored."""
    by = torch.randint(-most, most + 1, (len(inputs), 1), generator=generator)
    return (torch.arange(size) + by).to(inputs.device)
