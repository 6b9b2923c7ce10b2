"""SNIP: how much the loss would change if weights were removed."""

from __future__ import annotations

from pydantic import Field
from torch import nn

from netwright.evaluation.proxy import Batch, Proxy
from netwright.evaluation.proxy_layers import draw_weights, loss_gradients, weights_of


class Snip(Proxy):
    """Sum over all weights of |weight x gradient| (Lee et al., 2019; summed: Abdelfattah et al., 2021)."""

    redraw: bool = Field(default=True, description="draw the weights by Glorot & Bengio's rule first, as published")

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        if self.redraw:
            draw_weights(model, nn.init.xavier_normal_)
        weights = weights_of(model)
        pairs = zip(weights, loss_gradients(model, batch, weights), strict=True)
        return sum((weight * gradient).abs().sum().item() for weight, gradient in pairs if gradient is not None)
