"""Channels that are zero whatever the input, or that nothing reads, by the values of the weights around them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.coupling import Coupling, Member
from netwright.compression.pruning import Grouping, find_couplings
from netwright.compression.surgery import Cut, axes, is_depthwise
from netwright.compression.weighted_layers import is_weighted
from netwright.core.errors import CompressionError


@dataclass(frozen=True, slots=True)
class Dead:
    """Channels that can go from all layers they run through."""

    name: str
    cuts: tuple[Cut, ...]
    why: str
    because: frozenset[str]


def dead_channels(
    module: nn.Module, example: torch.Tensor, grouping: Grouping, *, pairs: Collection[tuple[str, str]]
) -> Iterator[Dead]:
    """Those of each set of channels that go together; `pairs` are layers of which the second alone reads the first.

    Couplings are looked for only where a layer gives or reads a channel by nothing but zeros.
    """
    if not any(_zero(layer, side).any() for layer in module.modules() if is_weighted(layer) for side in (0, 1)):
        return
    try:
        found = find_couplings(module, example, grouping)
    except CompressionError:
        return
    for coupling in found.proven:
        if coupling.slots == 1 and all(member.role in ("out", "in") for member in coupling.members):
            silent, unread = _silent(module, coupling, pairs), _unread(module, coupling)
            gone = sorted(silent | unread)[: coupling.width - 1]
            if gone:
                cuts = tuple(cut for cut in coupling.cuts(gone) if cut.indices)
                why = (
                    f"{len(gone)} of {coupling.width} channels are zero whatever the input, or are read by zeros alone"
                )
                yield Dead(coupling.name, cuts, why, frozenset(member.path for member in coupling.members))


def _zero(layer: nn.Module, side: int) -> torch.Tensor:
    """Which channels a layer gives (0) or reads (1) by zeros alone, in the numbering of that side's tensors."""
    role = "in" if side else "out"
    if isinstance(layer, _ConvNd) and layer.groups > 1 and not is_depthwise(layer):
        return torch.zeros(1, dtype=torch.bool)
    try:
        places = axes(layer, role)  # type: ignore[arg-type]  # one of the two
    except CompressionError:
        return torch.zeros(1, dtype=torch.bool)
    tensors = [(getattr(layer, name, None), axis) for name, axis in places]
    flat = [
        one.detach().transpose(0, axis).flatten(1) if one.ndim > 1 else one.detach()[:, None]
        for one, axis in tensors
        if isinstance(one, nn.Parameter)
    ]
    if not flat:
        return torch.zeros(1, dtype=torch.bool)
    return torch.stack([(one == 0).all(dim=1) for one in flat]).all(dim=0)


def _channels(module: nn.Module, member: Member) -> set[int]:
    """The coupling's channels that a member gives or reads by zeros alone."""
    zero = _zero(module.get_submodule(member.path), 1 if member.role == "in" else 0)
    some: dict[int, bool] = {}
    for channel, index in zip(member.channels, member.indices, strict=True):
        some[channel] = some.get(channel, True) and index < len(zero) and bool(zero[index])
    return {channel for channel, dead in some.items() if dead}


def _silent(module: nn.Module, coupling: Coupling, pairs: Collection[tuple[str, str]]) -> set[int]:
    """Channels that every layer which gives them gives as zero; one that a normalisation alone reads need not."""
    givers = [member for member in coupling.members if member.role == "out"]
    paths = {member.path for member in givers}
    hidden = {first for first, second in pairs if second in paths}
    last = [_channels(module, member) for member in givers if member.path not in hidden]
    return set.intersection(*last) if last else set()


def _unread(module: nn.Module, coupling: Coupling) -> set[int]:
    readers = [_channels(module, member) for member in coupling.members if member.role == "in"]
    return set.intersection(*readers) if readers else set()
