"""Training that makes channels small before they are removed, so that removing them costs less.

`group_lasso` pulls every channel towards zero by the same length (Wen et al., Learning structured sparsity in deep
neural networks, NeurIPS 2016); what the task needs holds against it. `growing` pulls those alone that are about to
be removed, harder and harder (Wang et al., Neural pruning via growing regularization, ICLR 2021). Both act on the
weights after each step of the optimizer, so their strength means the same with every optimizer and learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression import recurrent_pruning
from netwright.compression.coupling import Coupling, Member
from netwright.compression.surgery import axes
from netwright.core.files import content_hash
from netwright.tasks.training_hook import TrainingHook

Penalty = Literal["group_lasso", "growing"]
GROWN = 5.0
"""With strength 1, `growing` leaves e to the minus this of a channel that nothing holds."""


class GroupPenalty(TrainingHook):
    """Shrinks the weights of channels during training.

    `doomed` are the channels that would be removed now, by the coupling's name. With `strength` 1 a channel of
    average size that nothing holds is gone at the end.
    """

    def __init__(
        self,
        kind: Penalty,
        *,
        couplings: Sequence[Coupling],
        doomed: Mapping[str, Sequence[int]],
        strength: float,
    ) -> None:
        self.kind, self.couplings, self.doomed, self.strength = kind, tuple(couplings), dict(doomed), strength
        self._owned: list[tuple[Coupling, list[tuple[nn.Parameter, torch.Tensor]]]] = []
        self._lengths: list[float] = []
        self._steps, self._done = 1, 0

    def identity(self) -> str:
        doomed = {name: list(channels) for name, channels in self.doomed.items()}
        return content_hash([self.kind, self.strength, [c.name for c in self.couplings], doomed])

    def start(self, model: nn.Module, *, epochs: int, steps: int) -> None:
        self._steps, self._done = max(1, epochs * steps), 0
        self._owned = [(c, owned_weights(model, c)) for c in self.couplings]
        self._lengths = [float(_norms(c, owned).mean()) for c, owned in self._owned]

    def stepped(self) -> None:
        self._done += 1
        with torch.no_grad():
            for (coupling, owned), length in zip(self._owned, self._lengths, strict=True):
                factors = self._factors(coupling, owned, length)
                for parameter, channels in owned:
                    parameter.mul_(factors.to(parameter)[channels])

    def tensors(self) -> Mapping[str, torch.Tensor]:
        return {"done": torch.tensor(self._done)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._done = int(tensors["done"])

    def _factors(
        self, coupling: Coupling, owned: Sequence[tuple[nn.Parameter, torch.Tensor]], length: float
    ) -> torch.Tensor:
        """What each channel's weights are multiplied by in this step, [width + 1]; the last is for no channel."""
        if self.kind == "group_lasso":
            norms = _norms(coupling, owned).clamp_min(1e-12)
            shrunk = (1 - self.strength * length / self._steps / norms).clamp_min(0)
        else:
            shrunk = torch.ones(coupling.width, dtype=torch.float64)
            decay = 2 * GROWN * self.strength * self._done / self._steps / (self._steps + 1)
            shrunk[list(self.doomed.get(coupling.name, ()))] = max(0.0, 1 - decay)
        return torch.cat([shrunk, torch.ones(1, dtype=torch.float64)])


def owned_weights(module: nn.Module, coupling: Coupling) -> list[tuple[nn.Parameter, torch.Tensor]]:
    """The parameters that hold the coupling's channels, each with the channel that every entry belongs to.

    The second has as many dimensions as the parameter and broadcasts to it; `coupling.width` stands for none. The
    input side of a grouped convolution, whose entries belong to several channels, is left out.
    """
    found = []
    for member in coupling.members:
        layer = module.get_submodule(member.path)
        for name, dimension, numbers in _channel_numbers(layer, member, coupling.width):
            parameter = getattr(layer, name, None)
            if isinstance(parameter, nn.Parameter):
                shape = [1] * parameter.ndim
                shape[dimension] = -1
                found.append((parameter, numbers.view(shape)))
    return found


def _channel_numbers(layer: nn.Module, member: Member, nobody: int) -> list[tuple[str, int, torch.Tensor]]:
    """Per tensor of the layer: its name, a dimension, and the channel of each position along it."""
    if isinstance(layer, nn.RNNBase) and member.role == "units":
        numbers = torch.full((recurrent_pruning.unit_count(layer),), nobody)
        numbers[list(member.indices)] = torch.tensor(member.channels)
        gates = recurrent_pruning.gates(layer)
        by_slot = zip(recurrent_pruning.suffixes(layer), numbers.view(-1, layer.hidden_size), strict=True)
        return [
            (f"{kind}{suffix}", 0, one.repeat(gates))
            for suffix, one in by_slot
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
    if isinstance(layer, _ConvNd) and layer.groups > 1 and member.role == "in":
        return []
    found = []
    for name, dimension in axes(layer, member.role):
        tensor = getattr(layer, name, None)
        if isinstance(tensor, nn.Parameter):
            numbers = torch.full((tensor.shape[dimension],), nobody)
            numbers[list(member.indices)] = torch.tensor(member.channels)
            found.append((name, dimension, numbers))
    return found


def _norms(coupling: Coupling, owned: Sequence[tuple[nn.Parameter, torch.Tensor]]) -> torch.Tensor:
    """The Euclidean length of each channel's weights, [width]."""
    squares = torch.zeros(coupling.width + 1, dtype=torch.float64)
    for parameter, channels in owned:
        dimension = max(range(channels.ndim), key=lambda d: channels.shape[d])
        sums = parameter.detach().double().cpu().square().movedim(dimension, 0).reshape(parameter.shape[dimension], -1)
        squares.index_add_(0, channels.flatten(), sums.sum(1))
    return squares[:-1].sqrt()
