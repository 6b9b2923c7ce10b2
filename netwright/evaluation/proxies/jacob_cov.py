"""Jacobian covariance: whether the network tells samples apart by how it reacts to them."""

from __future__ import annotations

import torch
from torch import nn

from netwright.evaluation.proxy import Batch, NoScoreError, Proxy


class JacobCov(Proxy):
    """How little the input gradients of the samples of a batch are correlated (Mellor et al., 2020, first version).

    With the eigenvalues v of the matrix of correlations: -sum(log(v + k) + 1 / (v + k)), k = 1e-5.
    """

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        inputs = batch.inputs.detach().clone().requires_grad_(True)
        (jacobian,) = torch.autograd.grad(model(inputs).sum(), inputs, allow_unused=True)
        if jacobian is None:
            raise NoScoreError("the result does not depend on the input")
        correlations = torch.corrcoef(jacobian.flatten(1).double())
        if not bool(torch.isfinite(correlations).all()):
            raise NoScoreError("for some samples the result does not depend on the input, so nothing is correlated")
        values = torch.linalg.eigvalsh(correlations).clamp(min=0) + 1e-5
        return -float((values.log() + 1 / values).sum())
