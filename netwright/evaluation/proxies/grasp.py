"""GraSP: how much removing weights would change the flow of gradients."""

from __future__ import annotations

import torch
from torch import nn

from netwright.evaluation.proxy import Batch, NoScoreError, Proxy
from netwright.evaluation.proxy_layers import loss_gradients, weights_of


class Grasp(Proxy):
    """Sum of -weight x (Hessian x gradient) (Wang et al., 2020; summed: Abdelfattah et al., 2021)."""

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        weights = weights_of(model)
        gradients = loss_gradients(model, batch, weights, keep_graph=True)
        # the derivative of half the squared norm of the gradient is Hessian x gradient
        norm = sum(gradient.square().sum() for gradient in gradients if gradient is not None)
        if not isinstance(norm, torch.Tensor) or not norm.requires_grad:
            raise NoScoreError("no weight acts on the result, so there is no gradient to keep")
        flow = torch.autograd.grad(norm / 2, weights, allow_unused=True)
        pairs = zip(weights, flow, strict=True)
        return sum(-(weight * change).sum().item() for weight, change in pairs if change is not None)
