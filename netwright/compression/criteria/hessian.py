"""Channels whose removal changes the loss little, to second order, weight by weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    import torch

    from netwright.compression.criterion import Part


class Hessian(Criterion):
    """Half of weight² × curvature added up, the curvature being the mean squared gradient of single samples.

    Source: LeCun et al., Optimal brain damage, NeurIPS 1989, with the empirical Fisher matrix's diagonal.
    """

    samples: int = Field(default=64, ge=1, description="calibration samples to take gradients of, one by one")

    def gradients(self) -> int:
        return self.samples

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([0.5 * (weight * gradient).square().sum(1) for weight, gradient in part.pairs])
