"""What may take part in a training: values kept in a form, penalties, scores gathered on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


class TrainingHook:
    """Called by `fit` at fixed places of every step; each method may be left as it is, doing nothing.

    A network may compute with other values than those that are trained, such as their signs: `put` writes the
    former into the parameters before each forward pass (and before evaluation), `take_back` writes the latter back
    after it. The network ends with the values of `put`.
    """

    def identity(self) -> str:
        """Settings that change what is trained; a checkpoint belongs to trainings of equal identity."""
        return type(self).__qualname__

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        """Before the first step, or before a checkpoint is read: the model has the weights it came with."""

    def parameters(self) -> Sequence[nn.Parameter]:
        """After `start`: numbers of the hook's own that the optimizer trains too, by the gradients that they are given
        in `gradients`."""
        return ()

    def put(self) -> None:
        """Before a forward pass: write the values that the network computes with."""

    def penalty(self, inputs: torch.Tensor) -> torch.Tensor | None:
        """After a forward pass on `inputs` [N, *shape], as the model got them: what to add to the loss, or None."""
        del inputs
        return None

    def take_back(self) -> None:
        """After the backward pass, or after evaluation: write the trained values back."""

    def gradients(self) -> None:
        """After the backward pass and `take_back`: change the gradients of the trained values, or learn from them."""

    def stepped(self) -> None:
        """After the optimizer's step."""

    def epoch_done(self, number: int) -> None:
        """After epoch `number`, from 1, before its validation scores are taken."""

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """What of the hook a checkpoint must hold, beyond what `start` works out again from the first weights."""
        return {}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `tensors` gave."""
