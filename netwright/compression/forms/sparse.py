"""Sparse weights: what is zero stays zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    import torch


class Sparse(Form):
    """The zeros of a weight stay zero; the other values are trained freely."""

    def keeper(self, weight: torch.Tensor) -> Keeper:
        return _Mask(weight)

    def holds(self, weight: torch.Tensor) -> bool:
        return bool((weight == 0).any())


class _Mask(Keeper):
    def __init__(self, weight: torch.Tensor) -> None:
        self.kept = weight != 0

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        return trained * self.kept

    def gradient(self, gradient: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        del trained
        return gradient * self.kept
