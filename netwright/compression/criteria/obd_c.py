"""Channels whose removal changes the loss little, to second order, a channel's weights together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from netwright.compression.criterion import Criterion

if TYPE_CHECKING:
    import torch

    from netwright.compression.criterion import Part


class ObdC(Criterion):
    """Half of wᵀHw for a channel's weights w, the Hessian H being the empirical Fisher matrix of single samples.

    Unlike `hessian` it sees how the weights of a channel act together.
    Source: Wang et al., EigenDamage: structured pruning in the Kronecker-factored eigenbasis, ICML 2019.
    """

    samples: int = Field(default=64, ge=1, description="calibration samples to take gradients of, one by one")

    def gradients(self) -> int:
        return self.samples

    def scores(self, part: Part) -> torch.Tensor:
        import torch

        return torch.cat([0.5 * (weight * gradient).sum(1).square() for weight, gradient in part.pairs])
