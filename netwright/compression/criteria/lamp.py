"""Magnitudes made comparable between layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    import torch

    from netwright.compression.criterion import Part


class Lamp(Criterion):
    """A channel's squared weights as a share of those of all channels that are not smaller.

    The largest channel of every layer scores 1, so a global ranking never empties a layer.
    Source: Lee et al., Layer-adaptive sparsity for the magnitude-based pruning, ICLR 2021, here for channels.
    """

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([block.square().sum(1) for block in part.blocks])

    def finished(self, scores: torch.Tensor) -> torch.Tensor:
        import torch

        rising, order = scores.sort(dim=1, stable=True)
        left = rising.flip(1).cumsum(1).flip(1).clamp_min(torch.finfo(scores.dtype).tiny)
        return torch.zeros_like(scores).scatter_(1, order, rising / left)
