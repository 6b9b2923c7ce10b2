"""Shared weights: entries of one value stay of one value, and the values are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    import torch


class Shared(Form):
    """Entries of equal value keep having equal values; each group trains as one number, zeros stay zero.

    Every entry of a group gets the group's mean gradient: the gradient of the single weights, projected onto those that
    share. A learning rate that suits single weights then suits shared ones. The sum over the entries (Han et al., ICLR
    2016, section 3.3) points the same way and is as many times longer as there are entries.
    """

    values: int = Field(default=256, ge=1, description="at most so many different values, zero included")

    def keeper(self, weight: torch.Tensor) -> Keeper:
        return _Groups(weight)

    def holds(self, weight: torch.Tensor) -> bool:
        import torch

        return len(torch.unique(weight)) <= self.values


class _Groups(Keeper):
    def __init__(self, weight: torch.Tensor) -> None:
        import torch

        values, places = torch.unique(weight.flatten(), return_inverse=True)
        self.places: torch.Tensor = places
        self.count = len(values)
        self.sizes = places.bincount(minlength=self.count).to(weight.dtype)
        self.zero = values == 0

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        """The mean of each group, which is also its every entry but for rounding."""
        sums = trained.new_zeros(self.count).index_add_(0, self.places, trained.flatten())
        means: torch.Tensor = (sums / self.sizes).masked_fill(self.zero, 0)
        return means[self.places].reshape(trained.shape)

    def gradient(self, gradient: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        del trained
        return self.value(gradient)
