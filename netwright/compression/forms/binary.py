"""Binary weights: two values of one size per output channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    import torch


class Binary(Form):
    """Every value is plus or minus the one size of its channel; the signs and the size are trained.

    The size is the mean of the trained values' sizes, the best one for these signs (Rastegari et al., XNOR-Net, ECCV
    2016, section 3.1). Gradients go straight through to the trained values (Courbariaux et al., BinaryConnect,
    NeurIPS 2015), so that a sign changes when its value has crossed zero.
    """

    scale: Literal["channel", "layer"] = Field(default="channel", description="what shares one size")

    def keeper(self, weight: torch.Tensor) -> Keeper:
        del weight
        return _Signs(self.scale == "channel")

    def holds(self, weight: torch.Tensor) -> bool:
        sizes = weight.abs().reshape(len(weight) if self.scale == "channel" else 1, -1)
        return bool((sizes == sizes[:, :1]).all())


class _Signs(Keeper):
    def __init__(self, by_channel: bool) -> None:
        self.by_channel = by_channel

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        import torch

        rows = trained.reshape(len(trained) if self.by_channel else 1, -1)
        size = rows.abs().mean(dim=1, keepdim=True)
        return torch.where(rows < 0, -size, size).reshape(trained.shape)
