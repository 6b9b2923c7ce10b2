"""Channels whose removal changes the loss little, to first order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    import torch

    from netwright.compression.criterion import Part


class Taylor(Criterion):
    """How much the loss would change to first order: |weight × gradient| over the calibration data, added up.

    Source: Molchanov et al., Importance estimation for neural network pruning, CVPR 2019.
    """

    def gradients(self) -> int:
        return 1

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([(weight * gradient).abs().sum(1) for weight, gradient in part.pairs])
