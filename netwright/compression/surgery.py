"""Cut channels and recurrent units out of layers, or silence them in place; the input is never changed.

Everything structured pruning does to weights is said as cuts, in the numbering of the network they are made
for, so the same cuts serve three purposes: `remove` makes the smaller network, `silence` the network of the
old size in which the same channels give zero, and a comparison of the two proves that the wiring is right.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from netwright.compression import recurrent_pruning
from netwright.core.errors import CompressionError

Role = Literal["out", "in", "units", "number"]
"""Which side of a layer: the channels it gives, the channels it takes, or its recurrent units.

A number is none of these: it stands in a module as an attribute and says how many channels a layer has.
"""

Axis = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Cut:
    """Channels to take out of one layer; `indices` count in that layer's own numbering.

    The units of a recurrent layer are numbered (layer × directions + direction) × hidden_size + unit. The path of a
    number ends with its name, and it falls by as many as there are indices.
    """

    path: str
    role: Role
    indices: tuple[int, ...]


def remove(module: nn.Module, cuts: Iterable[Cut]) -> nn.Module:
    """A copy without the channels that the cuts name.

    Raises CompressionError when a layer would be left empty or is of a kind that cannot be cut.
    """
    small = copy.deepcopy(module)
    _remove_all(small, _merged(cuts))
    return small


def silence(module: nn.Module, cuts: Iterable[Cut]) -> nn.Module:
    """A copy of the same size in which the channels that the cuts name give zero."""
    quiet = copy.deepcopy(module)
    _silence_all(quiet, _merged(cuts))
    return quiet


@contextmanager
def removed_for_now(module: nn.Module, cuts: Iterable[Cut]) -> Iterator[None]:
    """The module itself without the channels, until the block ends; cheaper than a copy for many trials."""
    merged = _merged(cuts)
    with _put_back(module, merged):
        _remove_all(module, merged)
        yield


@contextmanager
def silenced_for_now(module: nn.Module, cuts: Iterable[Cut]) -> Iterator[None]:
    """The module itself with the channels silenced, until the block ends."""
    merged = _merged(cuts)
    with _put_back(module, merged):
        for path, role in merged:
            if role not in ("in", "number"):
                _own_tensors(module.get_submodule(path))
        _silence_all(module, merged)
        yield


def width(layer: nn.Module, role: Role) -> int:
    """How many channels a layer has on one side."""
    if role == "units":
        return recurrent_pruning.unit_count(_recurrent(layer))
    axis = next((axis for axis in axes(layer, role) if getattr(layer, axis[0], None) is not None), None)
    if isinstance(layer, _ConvNd):
        return layer.out_channels if role == "out" else layer.in_channels
    if axis is None:
        return int(getattr(layer, _size_fields(layer, role)[0], 0))
    return int(getattr(layer, axis[0]).shape[axis[1]])


def axes(layer: nn.Module, role: Role) -> tuple[Axis, ...]:
    """The tensors of a layer that have one entry per channel, and along which dimension.

    Raises CompressionError for a kind of layer that is not known.
    """
    found = _weight_axes(layer, role) or _norm_axes(layer, role)
    if found is None:
        raise CompressionError(f"{type(layer).__name__} cannot be cut on its {role} side")
    return found


def is_depthwise(layer: nn.Module) -> bool:
    """Whether a layer is a convolution that keeps every channel to itself."""
    return isinstance(layer, _ConvNd) and layer.groups > 1 and layer.groups == layer.in_channels == layer.out_channels


def _weight_axes(layer: nn.Module, role: Role) -> tuple[Axis, ...] | None:
    out = role == "out"
    if isinstance(layer, nn.Linear):
        return (("weight", 0), ("bias", 0)) if out else (("weight", 1),)
    if isinstance(layer, _ConvNd):
        if layer.transposed and layer.groups == 1:
            return (("weight", 1), ("bias", 0)) if out else (("weight", 0),)
        if not layer.transposed and (out or not is_depthwise(layer)):
            return (("weight", 0), ("bias", 0)) if out else (("weight", 1),)
    if isinstance(layer, nn.Embedding) and out:
        return (("weight", 1),)
    if isinstance(layer, nn.RNNBase) and role == "in":
        return tuple((name, 1) for name in recurrent_pruning.input_weights(layer))
    return None


def _norm_axes(layer: nn.Module, role: Role) -> tuple[Axis, ...] | None:
    if role != "out":
        return None
    if isinstance(layer, (_BatchNorm, _InstanceNorm)):
        return (("weight", 0), ("bias", 0), ("running_mean", 0), ("running_var", 0))
    if isinstance(layer, nn.GroupNorm):
        return (("weight", 0), ("bias", 0))
    if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == 1:
        return (("weight", 0), ("bias", 0))
    if isinstance(layer, nn.PReLU):
        return (("weight", 0),) if layer.num_parameters > 1 else ()
    return None


def _merged(cuts: Iterable[Cut]) -> dict[tuple[str, Role], list[int]]:
    """One set of indices per layer and side; several cuts may meet in a concatenation."""
    found: dict[tuple[str, Role], set[int]] = {}
    for cut in cuts:
        found.setdefault((cut.path, cut.role), set()).update(cut.indices)
    return {key: sorted(indices) for key, indices in found.items() if indices}


def _remove_all(module: nn.Module, merged: Mapping[tuple[str, Role], Sequence[int]]) -> None:
    for (path, role), indices in merged.items():
        if role == "number":
            owner, name = _number(module, path)
            setattr(owner, name, getattr(owner, name) - len(indices))
        else:
            _remove(module.get_submodule(path), path, role, indices)


def _silence_all(module: nn.Module, merged: Mapping[tuple[str, Role], Sequence[int]]) -> None:
    with torch.no_grad():
        for (path, role), indices in merged.items():
            if role not in ("in", "number"):
                _silence(module.get_submodule(path), path, role, indices)


@contextmanager
def _put_back(module: nn.Module, merged: Mapping[tuple[str, Role], Sequence[int]]) -> Iterator[None]:
    """Restores the layers afterwards as they were, but not what is written into their tensors."""
    layers = [module.get_submodule(path) for path in {path: None for path, role in merged if role != "number"}]
    numbers = [_number(module, path) for path, role in merged if role == "number"]
    before = [getattr(owner, name) for owner, name in numbers]
    states = [dict(vars(layer)) for layer in layers]
    try:
        for layer in layers:
            vars(layer).update({k: copy.copy(v) for k, v in vars(layer).items() if isinstance(v, (dict, list))})
        yield
    finally:
        for layer, state in zip(layers, states, strict=True):
            vars(layer).clear()
            vars(layer).update(state)
        for (owner, name), number in zip(numbers, before, strict=True):
            setattr(owner, name, number)


def _own_tensors(layer: nn.Module) -> None:
    for name, parameter in list(layer.named_parameters(recurse=False)):
        setattr(layer, name, nn.Parameter(parameter.detach().clone()))
    for name, buffer in list(layer.named_buffers(recurse=False)):
        setattr(layer, name, buffer.clone())


def _number(module: nn.Module, path: str) -> tuple[nn.Module, str]:
    owner, _, name = path.rpartition(".")
    return module.get_submodule(owner), name


def _recurrent(layer: nn.Module) -> nn.RNNBase:
    if not isinstance(layer, nn.RNNBase):
        raise CompressionError(f"{type(layer).__name__} has no recurrent units")
    return layer


def _remove(layer: nn.Module, path: str, role: Role, indices: Sequence[int]) -> None:
    if role == "units":
        recurrent_pruning.remove_units(_recurrent(layer), indices)
        return
    size = width(layer, role)
    if indices[-1] >= size or len(indices) >= size:
        raise CompressionError(f"{path}: cannot take {len(indices)} of {size} channels on the {role} side")
    keep = torch.tensor(sorted(set(range(size)) - set(indices)))
    if isinstance(layer, _ConvNd) and layer.groups > 1 and not is_depthwise(layer):
        _remove_grouped(layer, path, role, keep)
        return
    for name, dimension in axes(layer, role):
        _select(layer, name, dimension, keep)
    depthwise = is_depthwise(layer)
    for name in _size_fields(layer, role):
        _resize(layer, name, len(keep))
    if isinstance(layer, _ConvNd) and depthwise:
        layer.in_channels = layer.out_channels = layer.groups = len(keep)


def _remove_grouped(layer: _ConvNd, path: str, role: Role, keep: torch.Tensor) -> None:
    """A grouped convolution: every group must keep the same number, on either side."""
    size = width(layer, role) // layer.groups
    lists = [keep[(keep // size) == group] - group * size for group in range(layer.groups)]
    if layer.transposed or len({len(one) for one in lists}) != 1 or not len(lists[0]):
        raise CompressionError(f"{path}: the {layer.groups} groups must lose the same number of channels")
    if role == "out":
        _select(layer, "weight", 0, keep)
        _select(layer, "bias", 0, keep)
        layer.out_channels = len(keep)
        return
    blocks = layer.weight.detach().chunk(layer.groups, 0)
    parts = [block.index_select(1, one) for block, one in zip(blocks, lists, strict=True)]
    layer.weight = nn.Parameter(torch.cat(parts), requires_grad=layer.weight.requires_grad)
    layer.in_channels = len(keep)


def _select(layer: nn.Module, name: str, dimension: int, keep: torch.Tensor) -> None:
    old = getattr(layer, name, None)
    if not isinstance(old, torch.Tensor):
        return
    new = old.detach().index_select(dimension, keep.to(old.device))
    if isinstance(old, nn.Parameter):
        setattr(layer, name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(layer, name, new)


def _size_fields(layer: nn.Module, role: Role) -> tuple[str, ...]:
    """The attributes in which a layer states its own size."""
    side = "out" if role == "out" else "in"
    if isinstance(layer, nn.Linear):
        return (f"{side}_features",)
    if isinstance(layer, _ConvNd):
        return (f"{side}_channels",)
    if isinstance(layer, nn.RNNBase):
        return ("input_size",)
    if isinstance(layer, nn.PReLU):
        return ("num_parameters",) if layer.num_parameters > 1 else ()
    names = ("num_features", "num_channels", "embedding_dim", "normalized_shape")
    return tuple(name for name in names if hasattr(layer, name))


def _resize(layer: nn.Module, name: str, size: int) -> None:
    setattr(layer, name, (size,) if name == "normalized_shape" else size)


def _silence(layer: nn.Module, path: str, role: Role, indices: Sequence[int]) -> None:
    if role == "units":
        recurrent_pruning.silence_units(_recurrent(layer), indices)
        return
    if indices[-1] >= width(layer, role):
        raise CompressionError(f"{path}: no channel {indices[-1]}")
    gone = torch.tensor(indices)
    for name, dimension in axes(layer, role):
        tensor = getattr(layer, name, None)
        plain_norm = getattr(layer, "weight", None) is None
        if isinstance(tensor, torch.Tensor) and (isinstance(tensor, nn.Parameter) or plain_norm):
            tensor.index_fill_(dimension, gone.to(tensor.device), _silent_value(name))


def _silent_value(name: str) -> float:
    return 1.0 if name == "running_var" else 0.0
