"""Channels that can only go together, and how much each of them matters.

A coupling is one set of channels seen from every layer that gives, carries or takes them: a convolution, its
normalisation, the layers behind it, and whatever a sum or a gate ties to them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from netwright.compression import recurrent_pruning
from netwright.compression.surgery import Cut, Role, axes, width

Criterion = Literal["magnitude", "taylor", "bn_scale", "random"]


@dataclass(frozen=True, slots=True)
class Member:
    """One side of one layer: `indices[i]`, in the layer's numbering, belongs to the coupling's `channels[i]`."""

    path: str
    role: Role
    channels: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Coupling:
    """`slots` lists of `size` channels, numbered through; every slot must lose the same number.

    Grouped convolutions have a slot per group, recurrent layers one per stacked layer and direction, all else
    has one. `recurrent` couplings round their width per slot, others in total.
    """

    name: str
    slots: int
    size: int
    members: tuple[Member, ...]
    recurrent: bool = False

    @property
    def width(self) -> int:
        """All channels of all slots."""
        return self.slots * self.size

    def cuts(self, channels: Collection[int]) -> list[Cut]:
        """What taking these channels out means for every layer."""
        wanted = set(channels)
        return [
            Cut(
                member.path,
                member.role,
                tuple(i for c, i in zip(member.channels, member.indices, strict=True) if c in wanted),
            )
            for member in self.members
        ]

    def trial(self, seed: int) -> list[int]:
        """About half of every slot, drawn at random: the removal that the wiring is proven with."""
        random = torch.Generator().manual_seed(seed)
        count = max(1, self.size // 2)
        return [
            slot * self.size + int(unit)
            for slot in range(self.slots)
            for unit in torch.randperm(self.size, generator=random)[:count]
        ]


def importance(
    module: nn.Module,
    coupling: Coupling,
    *,
    criterion: Criterion,
    gradients: Mapping[str, torch.Tensor] | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """How much each channel matters, [slots, size], with mean 1, so that couplings can be compared.

    magnitude: squared weights of the channel; taylor: |weight × gradient| (Molchanov et al., 2019), which needs
    `gradients` by parameter name; bn_scale: |scale| of its batch normalisation (Liu et al., 2017), or magnitude
    where there is none; random: drawn from the seed. Each is averaged over the layers of the coupling.
    """
    if criterion == "random":
        random = torch.Generator().manual_seed(seed)
        return torch.rand(coupling.slots, coupling.size, generator=random)
    members = coupling.members
    if criterion == "bn_scale":
        norms = [m for m in members if isinstance(module.get_submodule(m.path), _BatchNorm)]
        members = tuple(norms) or members
    total = torch.zeros(coupling.width, dtype=torch.float64)
    counted = 0
    for member in members:
        scores = _scores(module, member, criterion, gradients)
        if scores is not None:
            total.index_add_(0, torch.tensor(member.channels), scores[list(member.indices)])
            counted += 1
    total = total / max(counted, 1)
    mean = total.mean()
    scaled = total / mean if mean > 0 else torch.ones_like(total)
    return scaled.view(coupling.slots, coupling.size).float()


def _scores(
    module: nn.Module, member: Member, criterion: Criterion, gradients: Mapping[str, torch.Tensor] | None
) -> torch.Tensor | None:
    """One value per channel of a layer's side, or None when it holds no weights for them."""
    layer = module.get_submodule(member.path)
    values = {
        name: _saliency(parameter, criterion, (gradients or {}).get(f"{member.path}.{name}"))
        for name, parameter in layer.named_parameters(recurse=False)
    }
    if isinstance(layer, nn.RNNBase) and member.role == "units":
        return recurrent_pruning.unit_rows(layer, values)
    if isinstance(layer, _ConvNd) and layer.groups > 1 and member.role == "in" and not layer.transposed:
        blocks = values["weight"].flatten(2).sum(2).chunk(layer.groups, 0)
        return torch.cat([block.sum(0) for block in blocks])
    weights = [(name, dim) for name, dim in axes(layer, member.role) if name in values and name != "bias"]
    if not weights:
        return None
    total = torch.zeros(width(layer, member.role), dtype=torch.float64)
    for name, dimension in weights:
        total += values[name].movedim(dimension, 0).reshape(len(total), -1).sum(1)
    return total


def _saliency(parameter: nn.Parameter, criterion: Criterion, gradient: torch.Tensor | None) -> torch.Tensor:
    weight = parameter.detach().double().cpu()
    if criterion == "taylor":
        return torch.zeros_like(weight) if gradient is None else (weight * gradient.double().cpu()).abs()
    return weight.abs() if criterion == "bn_scale" else weight.square()


def shared_layers(module: nn.Module) -> set[str]:
    """Layers that share a weight with another layer; cutting one would leave the other behind."""
    holders: dict[int, list[str]] = {}
    for path, layer in module.named_modules():
        for parameter in layer.parameters(recurse=False):
            holders.setdefault(id(parameter), []).append(path)
    return {path for paths in holders.values() if len(set(paths)) > 1 for path in paths}


def ordered(values: torch.Tensor) -> Sequence[Sequence[int]]:
    """Per slot, the units from least to most important; equal values keep their order."""
    return [[int(i) for i in torch.argsort(row, stable=True)] for row in values]
