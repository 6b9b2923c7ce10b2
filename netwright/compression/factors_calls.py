"""How a network calls the layers that may be factorized, found by running it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.hooks import hooked
from netwright.compression.proof import outputs

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FACTORABLE = (nn.Linear, *CONVOLUTIONS, nn.RNN, nn.LSTM, nn.GRU)


@dataclass
class Seen:
    """How a layer is called: positions per sample summed over its calls, its first input, and its paths.

    `positions` are those of the input, then those left after each axis of a kernel in turn. `plain` says that every
    call was one tensor and nothing else, `hidden` that the network runs on without reading anything of the layer
    itself. `tied` is the path of another layer that has one of its weights.
    """

    positions: tuple[int, ...] = ()
    plain: bool = True
    hidden: bool = True
    tied: str = ""
    example: torch.Tensor | None = None
    paths: list[str] = field(default_factory=list)
    transposed: bool = False

    @property
    def called(self) -> bool:
        return bool(self.positions)

    def uses(self, first: int = 0, last: int = -1) -> int:
        """How often a sample is multiplied by weights of the axes between two of the positions, by default of all.

        A convolution does so at what it gives, a transposed one at what it is given.
        """
        return self.positions[first if self.transposed else last]


def called_layers(module: nn.Module, example: torch.Tensor) -> dict[nn.Module, Seen]:
    """How every Linear, convolution and recurrent layer is called when the network runs on a batch [N, *shape]."""
    seen: dict[nn.Module, Seen] = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        if isinstance(layer, FACTORABLE):
            seen.setdefault(layer, Seen(transposed=getattr(layer, "transposed", False))).paths.append(path)

    def note(layer: nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, object], output: torch.Tensor) -> None:
        found = seen[layer]
        found.plain &= len(args) == 1 and not kwargs and isinstance(args[0], torch.Tensor)
        if not found.plain:
            found.positions = found.positions or (1,)
            return
        inputs = args[0]
        found.example = inputs[:1].detach() if found.example is None else found.example
        now = tuple(count // len(example) for count in _positions(layer, inputs, output))
        found.positions = tuple(map(sum, zip(found.positions, now, strict=True))) if found.positions else now

    handles = [layer.register_forward_hook(note, with_kwargs=True) for layer in seen]
    with hooked(handles):
        outputs(module, example)
    for layer in _looked_into(module, seen, example):
        seen[layer].hidden = False
    for layer, path in _tied(module).items():
        if layer in seen:
            seen[layer].tied = path
    return seen


def _positions(layer: nn.Module, inputs: torch.Tensor, output: torch.Tensor) -> list[int]:
    """Positions of a batch before a layer, then those left after each axis of its kernel in turn."""
    if not isinstance(layer, _ConvNd):
        return [inputs.numel() // inputs.shape[-1]]
    axes = len(layer.kernel_size)
    before, after = inputs.shape[-axes:], output.shape[-axes:]
    rows = inputs.numel() // (layer.in_channels * prod(before))
    return [rows * prod(after[:done]) * prod(before[done:]) for done in range(axes + 1)]


def _tied(module: nn.Module) -> dict[nn.Module, str]:
    """Layers that have a weight together with another one, and the path of that."""
    owners: dict[int, list[tuple[str, nn.Module]]] = {}
    for path, layer in module.named_modules():
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((path, layer))
    return {
        layer: next(path for path, other in found if other is not layer)
        for found in owners.values()
        for _, layer in found
        if any(other is not layer for _, other in found)
    }


def _looked_into(module: nn.Module, seen: Mapping[nn.Module, Seen], example: torch.Tensor) -> list[nn.Module]:
    """Layers of which the network uses more than their call, found by putting each inside a Sequential."""

    def runs(layers: Iterable[nn.Module]) -> bool:
        twin = copy.deepcopy(module)
        for path in (path for layer in layers for path in seen[layer].paths if path):
            twin.set_submodule(path, nn.Sequential(twin.get_submodule(path)))
        try:
            outputs(twin, example)
        except Exception:
            # whatever it raises, it missed something
            return False
        return True

    called = [layer for layer, found in seen.items() if found.called and found.plain]
    return [] if runs(called) else [layer for layer in called if not runs([layer])]
