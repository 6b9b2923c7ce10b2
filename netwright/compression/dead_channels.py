"""Channels that are the same whatever the input, or that nothing reads, by the values of the weights around them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from netwright.compression.coupling import Coupling, Member
from netwright.compression.hooks import hooked
from netwright.compression.proof import in_double, outputs
from netwright.compression.pruning import Grouping, find_couplings
from netwright.compression.surgery import Cut, axes, is_depthwise
from netwright.compression.weighted_layers import is_weighted
from netwright.core.errors import CompressionError


@dataclass(frozen=True, slots=True)
class Dead:
    """Channels that can go from all layers they run through, and what their readers' biases gain for it, by path."""

    name: str
    cuts: tuple[Cut, ...]
    biases: tuple[tuple[str, torch.Tensor], ...]
    why: str
    because: frozenset[str]


def dead_channels(
    module: nn.Module, example: torch.Tensor, grouping: Grouping, *, pairs: Collection[tuple[str, str]]
) -> Iterator[Dead]:
    """Those of each set of channels that go together; `pairs` are layers of which the second alone reads the first.

    Couplings are looked for only where a layer gives or reads a channel by nothing but zeros.
    """
    if not any(
        _zero(layer, side, biased=False).any() for layer in module.modules() if is_weighted(layer) for side in (0, 1)
    ):
        return
    try:
        found = find_couplings(module, example, grouping)
    except CompressionError:
        return
    for coupling in found.proven:
        if coupling.slots > 1 or any(member.role not in ("out", "in") for member in coupling.members):
            continue
        dead = _silent(module, coupling, pairs) | _unread(module, coupling)
        constants = _constants(module, example, coupling, _fixed(module, coupling) - dead)
        gone = sorted(dead | constants.keys())[: coupling.width - 1]
        if gone:
            cuts = tuple(cut for cut in coupling.cuts(gone) if cut.indices)
            because = frozenset(member.path for member in coupling.members)
            why = (
                f"{len(gone)} of {coupling.width} channels are the same whatever the input, or are read by zeros alone"
            )
            yield Dead(coupling.name, cuts, _biases(module, coupling, gone, constants), why, because)


def _zero(layer: nn.Module, side: int, *, biased: bool = True) -> torch.Tensor:
    """Which channels a layer gives (0) or reads (1) by zeros alone, in the numbering of that side's tensors.

    Its bias need not be zero unless `biased`.
    """
    role = "in" if side else "out"
    if isinstance(layer, _ConvNd) and layer.groups > 1 and not is_depthwise(layer):
        return torch.zeros(1, dtype=torch.bool)
    try:
        places = axes(layer, role)  # type: ignore[arg-type]  # one of the two
    except CompressionError:
        return torch.zeros(1, dtype=torch.bool)
    tensors = [(getattr(layer, name, None), axis) for name, axis in places if biased or name != "bias"]
    flat = [
        one.detach().transpose(0, axis).flatten(1) if one.ndim > 1 else one.detach()[:, None]
        for one, axis in tensors
        if isinstance(one, nn.Parameter)
    ]
    if not flat:
        return torch.zeros(1, dtype=torch.bool)
    return torch.stack([(one == 0).all(dim=1) for one in flat]).all(dim=0)


def _channels(module: nn.Module, member: Member, *, biased: bool = True) -> set[int]:
    """The coupling's channels that a member gives or reads by zeros alone."""
    zero = _zero(module.get_submodule(member.path), 1 if member.role == "in" else 0, biased=biased)
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


def _fixed(module: nn.Module, coupling: Coupling) -> set[int]:
    """Channels to which weights of zero alone lead, whatever biases and normalisations add."""
    givers = [member for member in coupling.members if member.role == "out"]
    layers = [(member, module.get_submodule(member.path)) for member in givers]
    weighted = [_channels(module, member, biased=False) for member, layer in layers if is_weighted(layer)]
    others = [layer for _, layer in layers if not is_weighted(layer) and not isinstance(layer, _BatchNorm)]
    return set.intersection(*weighted) if weighted and not others else set()


def _constants(
    module: nn.Module, example: torch.Tensor, coupling: Coupling, channels: Collection[int]
) -> dict[int, dict[str, list[tuple[int, float]]]]:
    """Of these channels, those of which every reader's bias can take over the work.

    By channel and reader: its inputs' numbers, each with the value that it always has.
    """
    readers = [member for member in coupling.members if member.role == "in"]
    if not channels or not all(_takes_over(module.get_submodule(member.path)) for member in readers):
        return {}
    seen = _read(module, example, [member.path for member in readers])
    found: dict[int, dict[str, list[tuple[int, float]]]] = {channel: {} for channel in channels}
    for member in readers:
        values = seen.get(member.path)
        for channel, index in zip(member.channels, member.indices, strict=True):
            if channel not in found:
                continue
            if values is None or float(values[index].max()) != float(values[index].min()):
                del found[channel]
            else:
                found[channel].setdefault(member.path, []).append((index, float(values[index][0])))
    return found


def _takes_over(layer: nn.Module) -> bool:
    """Whether a constant input adds the same to every place of the layer's results, and a patch can say its bias."""
    if type(layer) is nn.Linear:
        return True
    if type(layer) not in (nn.Conv1d, nn.Conv2d, nn.Conv3d) or layer.groups != 1:
        return False
    padding: Any = layer.padding
    return not isinstance(padding, str) and not any(padding)


def _read(module: nn.Module, example: torch.Tensor, paths: Collection[str]) -> dict[str, torch.Tensor]:
    """What layers get on the example in double precision, by path: [channels, values]; only of those called once."""
    precise, inputs = in_double(module, example)
    names = {precise.get_submodule(path): path for path in paths}
    seen: dict[str, list[torch.Tensor]] = {}

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        axis = -1 if isinstance(layer, nn.Linear) else 1
        seen.setdefault(names[layer], []).append(given[0].movedim(axis, 0).flatten(1).clone())

    handles = [layer.register_forward_pre_hook(note) for layer in names]
    with hooked(handles):
        outputs(precise, inputs)
    return {path: calls[0] for path, calls in seen.items() if len(calls) == 1}


def _biases(
    module: nn.Module,
    coupling: Coupling,
    gone: Collection[int],
    constants: dict[int, dict[str, list[tuple[int, float]]]],
) -> tuple[tuple[str, torch.Tensor], ...]:
    """What each reader's bias gains, in double precision."""
    added: dict[str, torch.Tensor] = {}
    for channel in gone:
        for path, values in constants.get(channel, {}).items():
            weight = module.get_submodule(path).get_parameter("weight").detach().double()
            for index, value in values:
                if value:
                    more = weight[:, index].flatten(1).sum(1) if weight.ndim > 2 else weight[:, index]
                    added[path] = added.get(path, torch.zeros(len(weight)).double()) + value * more
    return tuple(added.items())
