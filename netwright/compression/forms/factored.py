"""Factored weights: matrices of a low rank, trained as the two thin factors whose product they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn


class Factored(Form):
    """A matrix is the product of two factors of a rank, and training moves the factors.

    They begin as the halves of its singular value decomposition. The network computes with the product; the weights of
    recurrent layers are factors in exported files.
    """

    rank: int = Field(default=8, ge=1, description="the most singular values other than zero")

    def keeper(self, weight: torch.Tensor) -> Keeper:
        return _Factors(weight, self.rank)

    def holds(self, weight: torch.Tensor) -> bool:
        from netwright.export.recurrent_factors import rank_of

        return weight.ndim == 2 and rank_of(weight.detach().cpu().numpy()) <= self.rank

    def numbers(self, weight: torch.Tensor) -> int:
        return min(weight.numel(), self.rank * sum(weight.shape))


class _Factors(Keeper):
    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        import torch

        left, values, right = torch.linalg.svd(weight.detach().double(), full_matrices=False)
        root = values[:rank].sqrt()
        self.left = torch.nn.Parameter((left[:, :rank] * root).to(weight))
        self.right = torch.nn.Parameter((root[:, None] * right[:rank]).to(weight))

    def parameters(self) -> Sequence[nn.Parameter]:
        return self.left, self.right

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        # in double precision, so that nothing but rounding is left of a higher rank
        return (self.left.detach().double() @ self.right.detach().double()).to(trained)

    def gradient(self, gradient: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        """That of the factors; the weight itself is no longer trained."""
        del trained
        self.left.grad, self.right.grad = gradient @ self.right.detach().T, self.left.detach().T @ gradient
        return gradient.new_zeros(gradient.shape)
