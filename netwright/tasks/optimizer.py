"""The optimizer of a training, made from its settings and filled from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from netwright.core.errors import SpaceError
from netwright.tasks.settings import Training


def optimizer_of(model: nn.Module, training: Training) -> torch.optim.Optimizer:
    """The optimizer; vectors (biases, norms) are not decayed, as shrinking them only hurts.

    Raises SpaceError when there is nothing to train.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise SpaceError("the model has no trainable parameter; give a model with weights")
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=training.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=training.learning_rate)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[int, Mapping[str, torch.Tensor]]) -> None:
    """Give an optimizer the values that it had for every parameter, by number."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    held = {n: {k: _like(parameters[n], t) for k, t in of.items()} for n, of in state.items()}
    optimizer.load_state_dict({"state": held, "param_groups": optimizer.state_dict()["param_groups"]})


def _like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A parameter's optimizer value in the parameter's own memory order, which optimizers are fastest with."""
    return torch.empty_like(parameter).copy_(value) if value.ndim and value.shape == parameter.shape else value
