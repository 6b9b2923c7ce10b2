"""Fisher: how much the loss would change if channels were removed."""

from __future__ import annotations

import torch
from torch import nn

from netwright.evaluation.proxy import Batch, NoScoreError, Proxy
from netwright.evaluation.proxy_layers import listening, weighted_layers


class Fisher(Proxy):
    """Sum over channels of the squared (activation x gradient) (Turner et al., 2020; Abdelfattah et al., 2021)."""

    def evaluate(self, model: nn.Module, batch: Batch) -> float:
        heard: list[tuple[nn.Module, torch.Tensor]] = []
        with listening(weighted_layers(model), lambda module, _, output: heard.append((module, output))):
            loss = batch.loss(model(batch.inputs), batch.targets)
        if not heard:
            raise NoScoreError("the network has no convolution or linear layer, whose channels fisher looks at")
        gradients = torch.autograd.grad(loss, [output for _, output in heard], allow_unused=True)
        total = 0.0
        for (module, output), gradient in zip(heard, gradients, strict=True):
            if gradient is not None:
                product = output.detach() * gradient
                # channels are axis 1 of a convolution's result, the last axis of a linear layer's
                places = [axis for axis in range(1, product.ndim) if axis != _channel_axis(module, product)]
                product = product.sum(places) if places else product
                total += float(product.square().mean(0).mul(0.5).sum())
        return total


def _channel_axis(module: nn.Module, output: torch.Tensor) -> int:
    return output.ndim - 1 if isinstance(module, nn.Linear) else 1
