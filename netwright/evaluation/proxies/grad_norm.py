"""Gradient norm: how strongly a batch pulls at the weights."""

from __future__ import annotations

from torch import nn

from netwright.evaluation.proxy import Batch, Proxy
from netwright.evaluation.proxy_layers import loss_gradients, weights_of


class GradNorm(Proxy):
    """The Euclidean norm of the loss's gradient, summed over layers (Abdelfattah et al., 2021, section 3.1)."""

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        gradients = loss_gradients(model, batch, weights_of(model))
        return sum(float(gradient.norm()) for gradient in gradients if gradient is not None)
