"""Channels that others can stand in for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from netwright.compression.criterion import Part


class Fpgm(Criterion):
    """The sum of a channel's distances to all others of its layer: near the middle it is replaceable.

    Only layers that give the channel are asked. Source: He et al., Filter pruning via geometric median, CVPR 2019.
    """

    def chosen(self, parts: Sequence[Part]) -> Sequence[Part]:
        giving = [part for part in parts if part.role != "in" and part.blocks[0].shape[1] > 1]
        return giving or parts

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([torch.cdist(block, block).sum(1) for block in part.blocks])
