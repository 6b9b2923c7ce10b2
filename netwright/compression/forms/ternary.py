"""Ternary weights: zero and two more values per output channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    import torch


class Ternary(Form):
    """Every value is zero, or plus or minus the one size of its channel; which of them is trained.

    Values below a threshold are zero, the size is the mean of the others (Li et al., Ternary Weight Networks, 2016).
    With `two_sided`, positive and negative values have sizes of their own, as in Trained Ternary Quantization (Zhu
    et al., ICLR 2017); here they are means, which the gradients move too.
    """

    threshold: float = Field(default=0.7, gt=0, lt=2, description="below so many times the mean size, values are zero")
    scale: Literal["channel", "layer"] = Field(default="channel", description="what shares one size")
    two_sided: bool = Field(default=False, description="sizes of their own for positive and negative values")

    def keeper(self, weight: torch.Tensor) -> Keeper:
        del weight
        return _Thirds(self)

    def holds(self, weight: torch.Tensor) -> bool:
        import torch

        rows = weight.reshape(len(weight) if self.scale == "channel" else 1, -1)
        sides = (rows.clamp_min(0), -rows.clamp_max(0)) if self.two_sided else (rows.abs(),)
        return all(bool(((side == 0) | (side == torch.amax(side, dim=1, keepdim=True))).all()) for side in sides)


class _Thirds(Keeper):
    def __init__(self, form: Ternary) -> None:
        self.form = form

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        rows = trained.reshape(len(trained) if self.form.scale == "channel" else 1, -1)
        sizes = rows.abs()
        kept = sizes > self.form.threshold * sizes.mean(dim=1, keepdim=True)
        if self.form.two_sided:
            over, under = kept & (rows > 0), kept & (rows < 0)
            result = _mean(sizes, over) * over - _mean(sizes, under) * under
        else:
            result = _mean(sizes, kept) * kept * rows.sign()
        # a product with a negative sign leaves negative zeros, which are not stored alike
        return (result + 0.0).reshape(trained.shape)


def _mean(sizes: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The mean of the kept values of each row [rows, 1]."""
    return (sizes * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True).clamp_min(1)
