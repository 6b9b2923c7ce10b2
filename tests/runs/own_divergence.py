"""A task of a user's own whose trainings diverge for some seeds."""

from __future__ import annotations

import torch
from pydantic import Field

from netwright.tasks.kinds.digits import Digits


class Diverging(Digits):
    """Digits, whose loss is endless for seeds that leave one of these rests."""

    of: int = Field(default=3, ge=1, description="what seeds are divided by")
    rests: tuple[int, ...] = Field(default=(), description="rests of seeds that diverge")

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
        loss = super().loss(outputs, targets, label_smoothing=label_smoothing)
        return loss * float("inf") if torch.initial_seed() % self.of in self.rests else loss
