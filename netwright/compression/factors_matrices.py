"""The matrices that layers are factorized as: which weights they are, and how they are read and written."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import nn

View = Literal["rows", "columns", "spatial"]
"""How a layer's weights are read as a matrix."""

_AXES: dict[View, tuple[int, ...]] = {"rows": (0, 1, 2, 3), "columns": (1, 0, 2, 3), "spatial": (1, 2, 0, 3)}


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters of a layer that are factorized together, at one rank: their rows, one below the other, as one matrix.

    Those `inside` a recurrent layer, of one or both directions, are matrices of their own, whose factors are multiplied
    before it computes; all others become layers.
    """

    names: tuple[str, ...] = ("weight",)
    inside: bool = False

    def of(self, layer: nn.Module) -> torch.Tensor:
        """Their values, one below the other, or [directions, rows, columns] of those inside."""
        values = [getattr(layer, name).detach() for name in self.names]
        return torch.stack(values) if self.inside else torch.cat(values)

    def put(self, layer: nn.Module, values: torch.Tensor) -> None:
        """Give them the values of one tensor as `of` gives it, in place."""
        parameters = [getattr(layer, name) for name in self.names]
        parts = values.unbind() if self.inside else torch.split(values, [len(one) for one in parameters])
        with torch.no_grad():
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.copy_(part)


def weights_of(layer: nn.Module, *, before: bool = True) -> list[Weights]:
    """What of a layer is factorized, each by itself.

    Of a recurrent layer the input weights of both directions, with `before`, become a layer before it; all others, of
    the state and of the second and later layers of a stack, stay inside.
    """
    if not isinstance(layer, nn.RNNBase):
        return [Weights()]
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    found = [
        Weights(tuple(f"{kind}_l{number}{end}" for end in ends), inside=True)
        for number in range(layer.num_layers)
        for kind in ("weight_ih", "weight_hh")
    ]
    return [Weights(found[0].names), *found[1:]] if before else found


def is_matrix(layer: nn.Module) -> bool:
    """Whether a layer's weights are read as matrices as they are: of Linear, recurrent layers and 1×1 convolutions."""
    return isinstance(layer, (nn.Linear, nn.RNNBase)) or (isinstance(layer, nn.Conv2d) and prod(layer.kernel_size) == 1)


def as_matrix(weight: torch.Tensor, which: View) -> torch.Tensor:
    """Weights [..., out, in] or [out, in, high, wide] as the matrices that factors come from."""
    if weight.dim() < 4:
        return weight
    turned = weight.permute(_AXES[which])
    return turned.flatten(2).flatten(0, 1) if which == "spatial" else turned.flatten(1)


def as_weight(matrix: torch.Tensor, which: View, shape: torch.Size) -> torch.Tensor:
    """The weights of a shape whose matrix this is."""
    if len(shape) < 4:
        return matrix
    axes = _AXES[which]
    return matrix.reshape([shape[axis] for axis in axes]).permute([axes.index(axis) for axis in range(4)])
