"""The base of every form: what the values of a weight have in common, which later training must keep.

A form holds no values of its own. Where the zeros are, or which entries share a value, is read from the weight
itself, so a weight and the name of its form say everything, and a stored network needs nothing beside them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from netwright.core.files import content_hash
from netwright.core.plugins import Plugin, spec_of
from netwright.tasks.training_hook import TrainingHook

if TYPE_CHECKING:
    import torch
    from torch import nn


class Keeper:
    """What keeps one weight in its form while it is trained; made by `Form.keeper` from the weight at the start.

    `value` gives what the network computes with, from the trained values; `gradient` turns the gradient of the
    former into that of the latter. Both have the weight's shape; nothing given is changed. What a keeper trains beside
    the weight are its `parameters`; `gradient` sets theirs.
    """

    def parameters(self) -> Sequence[nn.Parameter]:
        """Numbers trained beside the weight; by default none."""
        return ()

    def value(self, trained: torch.Tensor) -> torch.Tensor:
        """What the network computes with; by default the trained values themselves."""
        return trained

    def gradient(self, gradient: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
        """The gradient of the trained values; by default that of the values computed with."""
        del trained
        return gradient


class Form(Plugin):
    """A property of a weight's values, such as zeros or shared values, that fine-tuning must not lose."""

    @abstractmethod
    def keeper(self, weight: torch.Tensor) -> Keeper:
        """What keeps this weight, in the form already, in it."""

    @abstractmethod
    def holds(self, weight: torch.Tensor) -> bool:
        """Whether the values of a weight are of this form."""

    def numbers(self, weight: torch.Tensor) -> int:
        """How many numbers say a weight of this form; by default one for each of its values."""
        return weight.numel()


class FormsHook(TrainingHook):
    """Keeps parameters in their forms through a training."""

    def __init__(self, forms: Mapping[str, Form]) -> None:
        self.forms = dict(forms)
        self._held: list[tuple[nn.Parameter, Keeper]] = []
        self._trained: list[torch.Tensor] = []

    def identity(self) -> str:
        return content_hash({name: spec_of(form) for name, form in self.forms.items()})

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        del epochs, steps
        parameters = dict(model.named_parameters())
        self._held = [
            (parameters[name], form.keeper(parameters[name].detach().clone()))
            for name, form in self.forms.items()
            if name in parameters
        ]

    def parameters(self) -> Sequence[nn.Parameter]:
        return [parameter for _, keeper in self._held for parameter in keeper.parameters()]

    def tensors(self) -> Mapping[str, torch.Tensor]:
        return {str(number): parameter.detach() for number, parameter in enumerate(self.parameters())}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for number, parameter in enumerate(self.parameters()):
            parameter.data.copy_(tensors[str(number)])

    def put(self) -> None:
        self._trained = []
        for parameter, keeper in self._held:
            trained = parameter.detach().clone()
            self._trained.append(trained)
            parameter.data.copy_(keeper.value(trained))

    def take_back(self) -> None:
        for (parameter, _), trained in zip(self._held, self._trained, strict=True):
            parameter.data.copy_(trained)

    def gradients(self) -> None:
        for parameter, keeper in self._held:
            if parameter.grad is not None:
                parameter.grad.copy_(keeper.gradient(parameter.grad, parameter.detach()))
