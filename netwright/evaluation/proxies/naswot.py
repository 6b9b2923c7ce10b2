"""NASWOT: whether the network tells samples apart by which of its ReLUs are on."""

from __future__ import annotations

import torch
from torch import nn

from netwright.evaluation.proxy import Batch, NoScoreError, Proxy
from netwright.evaluation.proxy_layers import listening

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Softplus, nn.Mish)


class Naswot(Proxy):
    """Log-determinant of how alike the samples' codes of active units are (Mellor et al., 2021).

    Two samples are as alike as the number of units that are on for both or off for both. Rectifiers other than
    ReLU count as on for positive inputs.
    """

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        samples = len(batch.inputs)
        alike = torch.zeros(samples, samples, dtype=torch.float64)

        def compare(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            on = (inputs[0] > 0).reshape(samples, -1).float()
            off = 1 - on
            alike.add_((on @ on.T + off @ off.T).double().cpu())

        rectifiers = [module for module in model.modules() if isinstance(module, RECTIFIERS)]
        if not rectifiers:
            raise NoScoreError("the network has no ReLU or relative of it, whose activity naswot compares")
        with torch.no_grad(), listening(rectifiers, compare):
            model(batch.inputs)
        sign, value = torch.linalg.slogdet(alike)
        if float(sign) <= 0:
            raise NoScoreError("some samples switch the same units, so the determinant is 0; give another batch")
        return float(value)
