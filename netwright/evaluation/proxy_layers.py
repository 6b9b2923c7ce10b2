"""What several proxies share: the layers that count, their gradients, and drawing weights anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from netwright.evaluation.proxy import Batch, NoScoreError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def weighted_layers(model: nn.Module) -> list[nn.Module]:
    """The convolutions and linear layers, whose weights the proxies of pruning look at."""
    return [module for module in model.modules() if isinstance(module, (*CONVOLUTIONS, nn.Linear))]


def weights_of(model: nn.Module) -> list[nn.Parameter]:
    """The weight matrices: of convolutions, linear, recurrent and attention layers, without biases and norms.

    Raises NoScoreError when there is none.
    """
    found = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    if not found:
        raise NoScoreError("the network has no weight matrix; proxies that use gradients need one")
    return found


def loss_gradients(
    model: nn.Module, batch: Batch, weights: list[nn.Parameter], *, keep_graph: bool = False
) -> list[torch.Tensor | None]:
    """The gradient of the batch's loss for every weight; None where a weight does not act on the result."""
    loss = batch.loss(model(batch.inputs), batch.targets)
    return list(torch.autograd.grad(loss, weights, create_graph=keep_graph, allow_unused=True))


def draw_weights(model: nn.Module, draw: Callable[[torch.Tensor], Any]) -> None:
    """Draw every weight matrix anew, set norms to the identity and biases to zero."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, NORMS) and module.affine:
                module.weight.fill_(1.0)
                module.bias.zero_()
            elif isinstance(module, (*CONVOLUTIONS, nn.Linear)):
                draw(module.weight)
                if module.bias is not None:
                    module.bias.zero_()


@contextmanager
def listening(modules: Sequence[nn.Module], hear: Callable[..., None]) -> Iterator[None]:
    """`hear(module, inputs, output)` is called whenever one of the modules has run."""
    handles = [module.register_forward_hook(hear) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
