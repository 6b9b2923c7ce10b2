"""Channels that their batch normalisation scales down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from netwright.compression.criterion import Part


class BnScale(Criterion):
    """The absolute scale of a channel's batch normalisation; where there is none, the absolute weights added up.

    Source: Liu et al., Learning efficient convolutional networks through network slimming, ICCV 2017.
    """

    def chosen(self, parts: Sequence[Part]) -> Sequence[Part]:
        from torch.nn.modules.batchnorm import _BatchNorm

        return [part for part in parts if isinstance(part.layer, _BatchNorm)] or parts

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([block.abs().sum(1) for block in part.blocks])
