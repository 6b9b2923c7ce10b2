"""Values of a user's network that lie in another order than those of a layer graph.

In a layer graph an image is (channels, height, width) and a sequence (time, features). Torch's one-dimensional
layers take (channels, time), which here is an image of one row; channels-last images, (height, width, channels),
are here the sequence of their places. So widths of such networks are searched as of any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import nn

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_layers import UnreadableError
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.feature_map import FeatureMap
from netwright.search_spaces.operations.reshape import Reshape
from netwright.search_spaces.operations.tokens import Tokens

SIGNAL_LAYERS = (nn.Conv1d, nn.BatchNorm1d)
SIDES = {"kernel_size": 1, "stride": 1, "output_size": 1, "dilation": 1, "padding": 0}
"""What the settings of one-dimensional functions are for the row of an image that a signal is here."""


@dataclass(frozen=True, slots=True)
class Signal:
    """(channels, time) in the network, of which the tensor is (channels, 1, time).

    `flat` are the places of an image on one axis: a signal if it is turned or pooled, else perhaps a sequence.
    """

    tensor: Tensor
    flat: bool = False

    @property
    def shape(self) -> Shape:
        return self.tensor.shape[0], self.tensor.shape[2]

    @property
    def plain(self) -> Operation:
        """What gives the value as the network has it."""
        return Reshape(shape=self.shape)

    def of(self, value: torch.Tensor) -> torch.Tensor:
        """A value of the network as the tensor has it, with the batch."""
        return value.unsqueeze(2) if value.dim() == 3 else value

    def like(self, tensor: Tensor) -> Laid:
        """The same order of another tensor."""
        return Signal(tensor)


@dataclass(frozen=True, slots=True)
class Grid:
    """(height, width, channels) in the network, of which the tensor is (height × width, channels)."""

    tensor: Tensor
    height: int

    @property
    def shape(self) -> Shape:
        return self.height, self.tensor.shape[0] // self.height, self.tensor.shape[1]

    @property
    def plain(self) -> Operation:
        return Reshape(shape=self.shape)

    def of(self, value: torch.Tensor) -> torch.Tensor:
        return value.flatten(1, 2) if value.dim() == 4 else value

    def like(self, tensor: Tensor) -> Laid:
        return Grid(tensor, self.height)


@dataclass(frozen=True, slots=True)
class TimeFirst:
    """(time, samples, features) in the network, of which the tensor is (time, features)."""

    tensor: Tensor

    @property
    def shape(self) -> Shape:
        return self.tensor.shape

    @property
    def plain(self) -> Operation:
        raise UnreadableError("expected the samples as the first axis again, by transpose(0, 1)")

    def of(self, value: torch.Tensor) -> torch.Tensor:
        return value.transpose(0, 1) if value.dim() == 3 else value

    def like(self, tensor: Tensor) -> Laid:
        return TimeFirst(tensor)


Laid: TypeAlias = Signal | Grid | TimeFirst
LAID = (Signal, Grid, TimeFirst)
SUMMED: Mapping[type[Laid], tuple[list[int], tuple[int, ...]]] = {
    Signal: ([2], (2, 3)),
    Grid: ([1, 2], (1,)),
    TimeFirst: ([0], (1,)),
}
"""The axes of time or places, counted with the batch: in the network, and of the tensor."""


def tensor_of(value: Any) -> Any:
    """The tensor of the graph that a value is or has."""
    return value.tensor if isinstance(value, LAID) else value


def order(name: str, arguments: Sequence[Any], rank: int) -> tuple[int, ...] | None:
    """The order of the axes, the batch among them, that a call gives; None when it is about something else."""
    numbers = [item for part in arguments[1:] for item in (part if isinstance(part, (tuple, list)) else [part])]
    if name == "permute" and len(numbers) == rank:
        return tuple(axis % rank for axis in numbers)
    if name in ("transpose", "swapaxes", "swapdims") and len(numbers) == 2:
        axes = list(range(rank))
        one, other = (axis % rank for axis in numbers)
        axes[one], axes[other] = axes[other], axes[one]
        return tuple(axes)
    return None


def turned(value: Tensor | Laid, axes: tuple[int, ...]) -> tuple[Operation | None, Any] | None:
    """How a value is turned: the operation on its tensor and what becomes of the result; None when not known here."""
    if isinstance(value, TimeFirst):
        return (None, lambda x: x) if axes == (1, 0, 2) else None
    if isinstance(value, Signal):
        return (Tokens(), lambda x: x) if axes == (0, 2, 1) else None
    if isinstance(value, Grid):
        return (FeatureMap(height=value.height), lambda x: x) if axes == (0, 3, 1, 2) else None
    if len(value.shape) == 2 and axes == (0, 2, 1):
        return FeatureMap(height=1), Signal
    if len(value.shape) == 2 and axes == (1, 0, 2):
        return None, TimeFirst
    if len(value.shape) == 3 and axes == (0, 2, 3, 1):
        height = value.shape[1]
        return Tokens(), lambda x: Grid(x, height)
    return None


def flat_places(value: Tensor, after: Shape) -> bool:
    """Whether places of an image become one axis, which makes it a signal."""
    return len(value.shape) == 3 and len(after) == 2 and after[0] == value.shape[0]


def in_two_dimensions(name: str, arguments: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings of a one-dimensional function of a signal for that of an image; None when it is none."""
    parameters = ONE_DIMENSIONAL.get(name)
    given = dict(zip(parameters or (), arguments[1:], strict=False)) | dict(named)
    return None if parameters is None else {key: _sides(key, value) for key, value in given.items()}


def _sides(name: str, value: Any) -> Any:
    """A setting for one axis as that for (height, width)."""
    if name not in SIDES or value is None or isinstance(value, (str, bool)) or value in ((), []):
        return value
    return SIDES[name], value[0] if isinstance(value, (tuple, list)) else value


_POOLING = ("kernel_size", "stride", "padding")
ONE_DIMENSIONAL = {
    "max_pool1d": (*_POOLING, "dilation", "ceil_mode", "return_indices"),
    "avg_pool1d": (*_POOLING, "ceil_mode", "count_include_pad"),
    "adaptive_avg_pool1d": ("output_size",),
    "adaptive_max_pool1d": ("output_size", "return_indices"),
}
