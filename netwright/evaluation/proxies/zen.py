"""Zen-score: how strongly the features of random inputs react to a small change."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from netwright.evaluation.block_features import block_features
from netwright.evaluation.proxy import Batch, NoScoreError, Proxy
from netwright.evaluation.proxy_layers import NORMS, draw_weights, listening


class Zen(Proxy):
    """Log of the change of the last features for a small change of a random input, normalisation undone.

    With Gaussian weights and inputs; what batch normalisation divides by is put back in: Lin et al., 2021.
    """

    repeats: int = Field(default=1, ge=1, description="how often weights and inputs are drawn; the mean counts")
    step: float = Field(default=0.01, gt=0, description="size of the change of the inputs")

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        return sum(self._once(model, batch) for _ in range(self.repeats)) / self.repeats

    def _once(self, model: nn.Module, batch: Batch) -> float:
        draw_weights(model, lambda weight: weight.normal_())
        inputs, direction = torch.randn_like(batch.inputs), torch.randn_like(batch.inputs)
        scales: list[float] = []

        def scale(module: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            places = [axis for axis in range(given[0].ndim) if axis != 1]
            scales.append(float(given[0].var(places, correction=0).mean().clamp(min=1e-12).sqrt().log()))

        norms = [module for module in model.modules() if isinstance(module, NORMS)]
        with torch.no_grad():
            with listening(norms, scale):
                before = block_features(model, inputs)[-1]
            after = block_features(model, inputs + self.step * direction)[-1]
        change = (before - after).abs().flatten(1).mean()
        if float(change) == 0:
            raise NoScoreError("the last features do not depend on the input")
        return float(change.log()) + sum(scales)
