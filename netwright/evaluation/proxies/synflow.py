"""SynFlow: how much flows through the network when all its weights are positive."""

from __future__ import annotations

import torch
from torch import nn

from netwright.evaluation.proxy import Batch, Proxy
from netwright.evaluation.proxy_layers import NORMS, weights_of


class Synflow(Proxy):
    """Sum of |weight x gradient| of the sum of the outputs for an input of ones, on the weights' absolute values.

    Normalisation is left out, and the loss and the data are not used: Tanaka et al., 2020; summed: Abdelfattah
    et al., 2021. In double precision, as the flow grows with every layer.
    """

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        _without_norms(model)
        model.double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        weights = weights_of(model)
        outputs = model(torch.ones_like(batch.inputs[:1], dtype=torch.float64))
        gradients = torch.autograd.grad(outputs.sum(), weights, allow_unused=True)
        pairs = zip(weights, gradients, strict=True)
        return sum((weight * gradient).abs().sum().item() for weight, gradient in pairs if gradient is not None)


def _without_norms(model: nn.Module) -> None:
    """Put the identity in the place of every normalisation."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (*NORMS, nn.GroupNorm, nn.LayerNorm)):
                setattr(parent, name, nn.Identity())
