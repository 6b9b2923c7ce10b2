"""Channels that can only go together, whichever layers they run through.

A coupling is one set of channels seen from every layer that gives, carries or takes them: a convolution, its
normalisation, the layers behind it, and whatever a sum or a gate ties to them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from netwright.compression.surgery import Cut, Role, is_depthwise


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
    has one. `recurrent` couplings round their width per slot, others in total. `numbers` are the paths of those in the
    network's own modules that say the size and fall with it, each with by how much for every channel of a slot.
    """

    name: str
    slots: int
    size: int
    members: tuple[Member, ...]
    recurrent: bool = False
    numbers: tuple[tuple[str, int], ...] = ()

    @property
    def width(self) -> int:
        """All channels of all slots."""
        return self.slots * self.size

    @property
    def thickness(self) -> int:
        """How many channels of its first layer go with one channel of every slot: one of each slot, or a whole head."""
        own = next((one for one in self.members if one.path == self.name and one.role != "in"), None)
        return self.slots if own is None else max(1, len(own.indices) // self.size)

    def cuts(self, channels: Collection[int]) -> list[Cut]:
        """What taking these channels out means for every layer."""
        wanted = set(channels)
        fewer = sum(channel < self.size for channel in wanted)
        return [
            Cut(
                member.path,
                member.role,
                tuple(i for c, i in zip(member.channels, member.indices, strict=True) if c in wanted),
            )
            for member in self.members
        ] + [Cut(path, "number", tuple(range(fewer * each))) for path, each in self.numbers]

    def family(self, module: nn.Module) -> str:
        """What the coupling is made of: kinds of layers and sides, and where a channel is many entries, as a head is.

        Equal for couplings of equal structure.

        Source: Fang et al., Isomorphic pruning for vision models, ECCV 2024.
        """
        kinds = []
        for member in self.members:
            layer = module.get_submodule(member.path)
            kind = f"{'depthwise ' if is_depthwise(layer) else ''}{type(layer).__name__} {member.role}"
            kinds.append(f"{kind} by blocks" if len(member.indices) > self.width else kind)
        return f"{self.slots} x " + ", ".join(sorted(kinds))

    def trial(self, seed: int, *, few: bool = False) -> list[int]:
        """About half of every slot, drawn at random, or one of each: the removal that the wiring is proven with."""
        random = torch.Generator().manual_seed(seed)
        count = 1 if few else max(1, self.size // 2)
        return [
            slot * self.size + int(unit)
            for slot in range(self.slots)
            for unit in torch.randperm(self.size, generator=random)[:count]
        ]


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
