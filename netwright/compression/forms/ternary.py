"""Ternary weights: zero and two more values per output channel or layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from torch import nn

LEAST = 0.01
"""A trained size stays above so much of the one it began with: it must not change its sign."""


class Ternary(Form):
    """Every value is zero, or plus or minus the one size of its channel; which of them is trained.

    Values below a threshold are zero, the size is the mean of the others (Li et al., Ternary Weight Networks, 2016).
    With `two_sided`, positive and negative values have sizes of their own that are trained too, beside the values
    (Zhu et al., Trained Ternary Quantization, ICLR 2017).
    """

    threshold: float = Field(default=0.7, gt=0, lt=2, description="below so many times the mean size, values are zero")
    scale: Literal["channel", "layer"] = Field(default="channel", description="what shares one size")
    two_sided: bool = Field(default=False, description="trained sizes of their own for positive and negative values")

    def keeper(self, weight: torch.Tensor) -> Keeper:
        return _Sides(self, weight) if self.two_sided else _Thirds(self)

    def holds(self, weight: torch.Tensor) -> bool:
        import torch

        rows = self.rows(weight)
        sides = (rows.clamp_min(0), -rows.clamp_max(0)) if self.two_sided else (rows.abs(),)
        return all(bool(((side == 0) | (side == torch.amax(side, dim=1, keepdim=True))).all()) for side in sides)

    def rows(self, weight: torch.Tensor) -> torch.Tensor:
        """A weight's values [rows, values], a row for what shares sizes."""
        return weight.reshape(len(weight) if self.scale == "channel" else 1, -1)

    def kept(self, sizes: torch.Tensor) -> torch.Tensor:
        """Which values are not zero, by their sizes [rows, values]."""
        return sizes > self.threshold * sizes.mean(dim=1, keepdim=True)


class _Thirds(Keeper):
    def __init__(self, form: Ternary) -> None:
        self.form = form

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        rows = self.form.rows(trained)
        sizes = rows.abs()
        kept = self.form.kept(sizes)
        # a product with a negative sign leaves negative zeros, which are not stored alike
        return (_mean(sizes, kept) * kept * rows.sign() + 0.0).reshape(trained.shape)


class _Sides(Keeper):
    """Sizes begin as means and are trained as shares of those, so that a step suits small ones too.

    What is zero is decided by each value's share of the first size of its side: sides of very different sizes then
    both stay when an already ternary weight is trained on.
    """

    def __init__(self, form: Ternary, weight: torch.Tensor) -> None:
        import torch

        self.form = form
        rows = form.rows(weight.detach())
        sizes = rows.abs()
        # a weight that is ternary already has its sizes; a threshold on the mean of both sides could lose one of them
        kept = sizes > 0 if form.holds(weight.detach()) else form.kept(sizes)
        sides = [_mean(sizes, kept & side) for side in (rows > 0, rows < 0)]
        fallback = _mean(sizes, kept).clamp_min(1e-12)
        self.start: torch.Tensor = torch.cat([torch.where(side > 0, side, fallback) for side in sides], dim=1)
        self.shares = torch.nn.Parameter(torch.ones_like(self.start))

    def parameters(self) -> Sequence[nn.Parameter]:
        return (self.shares,)

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        over, under = self._sides(trained)
        sizes = self.start * self.shares.detach().clamp_min(LEAST)
        return (sizes[:, :1] * over - sizes[:, 1:] * under + 0.0).reshape(trained.shape)

    def gradient(self, gradient: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        """Zhu et al., equations 7 and 8."""
        import torch

        over, under = self._sides(trained)
        rows = self.form.rows(gradient)
        sums = torch.cat([(rows * over).sum(1, keepdim=True), -(rows * under).sum(1, keepdim=True)], dim=1)
        self.shares.grad = sums * self.start
        shares = self.shares.detach().clamp_min(LEAST)
        factors = torch.where(over, shares[:, :1], torch.where(under, shares[:, 1:], 1.0))
        return (rows * factors).reshape(gradient.shape)

    def _sides(self, trained: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which values are above and which below zero [rows, values]."""
        import torch

        rows = self.form.rows(trained)
        kept = self.form.kept(rows.abs() / torch.where(rows < 0, self.start[:, 1:], self.start[:, :1]))
        return kept & (rows > 0), kept & (rows < 0)


def _mean(sizes: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The mean of the kept values of each row [rows, 1]."""
    return (sizes * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True).clamp_min(1)
