"""Channels with small weights matter little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    import torch

    from netwright.compression.criterion import Part


class Magnitude(Criterion):
    """The size of a channel's weights: their absolute values, or their squares, added up.

    Source: Li et al., Pruning filters for efficient ConvNets, ICLR 2017.
    """

    norm: Literal[1, 2] = Field(default=2, description="1 adds absolute values, 2 squares")

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([block.abs().pow(self.norm).sum(1) for block in part.blocks])
