"""The matrices that layers are factorized as: which weights they are, and how they are read and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

View = Literal["rows", "columns", "spatial"]
"""How the weights of a convolution are read as matrices: outputs by all else, inputs by all else, or the inputs and the
first axis of the kernel by the outputs and its other axes."""

_AXES: dict[View, tuple[int, ...]] = {"rows": (0, 1, 2, 3), "columns": (0, 2, 1, 3), "spatial": (0, 2, 3, 1)}


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters of a layer that are factorized together, at one rank: their rows, one below the other, as one matrix.

    Those `inside` a recurrent layer, of one or both directions, are matrices of their own, whose factors are multiplied
    before it computes; all others become layers.
    """

    names: tuple[str, ...] = ("weight",)
    inside: bool = False

    def of(self, layer: nn.Module) -> torch.Tensor:
        """Their values, one below the other; [directions, rows, columns] of those inside; or of a convolution, ordinary
        or transposed, [groups, outputs of one, inputs of one, *kernel]."""
        values = [getattr(layer, name).detach() for name in self.names]
        if isinstance(layer, _ConvNd):
            parts = values[0].unflatten(0, (layer.groups, -1))
            return cast(torch.Tensor, parts.transpose(1, 2) if layer.transposed else parts)
        return torch.stack(values) if self.inside else torch.cat(values)

    def put(self, layer: nn.Module, values: torch.Tensor) -> None:
        """Give them the values of one tensor as `of` gives it, in place."""
        parameters = [getattr(layer, name) for name in self.names]
        parts: Sequence[torch.Tensor]
        if isinstance(layer, _ConvNd):
            parts = [(values.transpose(1, 2) if layer.transposed else values).flatten(0, 1)]
        elif self.inside:
            parts = values.unbind()
        else:
            parts = torch.split(values, [len(one) for one in parameters])
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
    return not isinstance(layer, _ConvNd) or prod(layer.kernel_size) == 1


def as_matrix(weight: torch.Tensor, which: View) -> torch.Tensor:
    """Weights [..., out, in] or [groups, out, in, *kernel] as the matrices that factors come from."""
    if weight.dim() < 4:
        return weight
    axes = (*_AXES[which], *range(4, weight.dim()))
    turned = weight.permute(axes)
    return turned.flatten(3).flatten(1, 2) if which == "spatial" else turned.flatten(2)


def as_weight(matrix: torch.Tensor, which: View, shape: torch.Size) -> torch.Tensor:
    """The weights of a shape whose matrix this is."""
    if len(shape) < 4:
        return matrix
    axes = (*_AXES[which], *range(4, len(shape)))
    return matrix.reshape([shape[axis] for axis in axes]).permute([axes.index(axis) for axis in range(len(shape))])
