"""Rounded weights: whole multiples of one step per output channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from netwright.compression.form import Form, Keeper

if TYPE_CHECKING:
    import torch


class Rounded(Form):
    """Every value is a whole multiple of its channel's step, so that so many bits hold it; training moves both.

    Gradients go straight through the rounding to the trained values (Jacob et al., CVPR 2018, section 3). The step
    that a training begins with has the least squared error; it stays in proportion to the mean size of the trained
    values.
    """

    bits: int = Field(default=4, ge=2, le=8, description="bits of a signed multiple")

    def keeper(self, weight: torch.Tensor) -> Keeper:
        return _Steps(weight, self.bits)

    def holds(self, weight: torch.Tensor) -> bool:
        from netwright.export.weight_grid import exact_steps

        rows = weight.detach().cpu().reshape(len(weight), -1).numpy()
        return bool((exact_steps(rows, levels=2 ** (self.bits - 1) - 1) > 0).all())


class _Steps(Keeper):
    def __init__(self, weight: torch.Tensor, bits: int) -> None:
        import torch

        from netwright.export.weight_grid import steps_of

        self.levels = 2 ** (bits - 1) - 1
        rows = weight.detach().reshape(len(weight), -1)
        steps = torch.from_numpy(steps_of(rows.cpu().numpy(), bits=bits)).to(rows)
        # a channel of zeros has no size; it gets one when training gives it values
        self.share: torch.Tensor = (steps / rows.abs().mean(dim=1).clamp_min(1e-12))[:, None]
        self.share[rows.abs().amax(dim=1) == 0] = 1.0

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        rows = trained.reshape(len(trained), -1)
        step = (self.share * rows.abs().mean(dim=1, keepdim=True)).clamp_min(1e-12)
        # adding zero makes the negative zeros of rounding positive, so that equal values are stored alike
        return ((rows / step).round().clamp(-self.levels, self.levels) * step + 0.0).reshape(trained.shape)
