"""Rounds the inputs of layers while a network is trained, as the deployed file will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from netwright.core.files import content_hash
from netwright.tasks.training_hook import TrainingHook

MOMENTUM = 0.99


class ActivationRounding(TrainingHook):
    """Inputs of some layers are rounded to so many bits in every forward pass of a training.

    A range is first taken from examples, then follows the batches' extremes as a moving average (Jacob et al., CVPR
    2018, section 3.1). Gradients go straight through the rounding, and not through what was clipped. `close` takes
    the rounding off; the network itself is not changed.
    """

    def __init__(self, layers: Sequence[str], *, bits: int, examples: torch.Tensor) -> None:
        """`examples` are preprocessed inputs [N, *shape]."""
        self.layers, self.bits, self.examples = tuple(layers), bits, examples
        self.ranges = torch.zeros(len(self.layers), 2)
        self._handles: list[Any] = []
        self._watching = False

    def identity(self) -> str:
        return content_hash(["activation rounding", self.layers, self.bits])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        del epochs, steps
        self.ranges = torch.zeros(len(self.layers), 2)
        for number, path in enumerate(self.layers):
            self._handles.append(model.get_submodule(path).register_forward_pre_hook(self._rounding(number)))
        place = next(model.parameters()).device
        training = model.training
        model.eval()
        self._watching = True
        try:
            with torch.no_grad():
                model(self.examples.to(place))
        finally:
            self._watching = False
            model.train(training)

    def tensors(self) -> Mapping[str, torch.Tensor]:
        return {"activation_ranges": self.ranges.clone()}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.ranges = tensors["activation_ranges"].clone()

    def close(self) -> None:
        """Leave the network's layers as they were."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _rounding(self, number: int) -> Any:
        def before(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            values = inputs[0].detach()
            if self._watching or layer.training:
                seen = torch.stack([values.min().clamp_max(0), values.max().clamp_min(0)]).cpu()
                kept = 0.0 if self._watching else MOMENTUM
                self.ranges[number] = kept * self.ranges[number] + (1 - kept) * seen
            return None if self._watching else (self.rounded(inputs[0], number), *inputs[1:])

        return before

    def rounded(self, values: torch.Tensor, number: int) -> torch.Tensor:
        """A layer's inputs in whole steps of its range, with zero among them."""
        low, high = self.ranges[number].tolist()
        step = max((high - low) / (2**self.bits - 1), 1e-12)
        zero = round(-low / step)
        clipped = values.clamp(-zero * step, (2**self.bits - 1 - zero) * step)
        missed: torch.Tensor = ((clipped / step).round() * step - clipped).detach()
        return clipped + missed
