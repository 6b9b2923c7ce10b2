"""Steps of a network that join the samples with another axis, so that frames, windows or patches are samples.

`x.view(b * t, c, h, w)` makes samples of the frames of a clip. In a layer graph the axis of the parts stays the first
of a sample, and each step in between is done for every part by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.each import Each


@dataclass(frozen=True, slots=True)
class Joined:
    """(samples · parts, ...) in the network: what `value` would be if the parts were the samples."""

    value: Any
    parts: int


@dataclass(frozen=True, slots=True)
class Sized:
    """Stands for a multiple of the number of samples where a size is written in an argument."""

    text: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A tensor whose axes stand in another order, the samples not first, as (3, samples, ...) of query, key, value.

    What is taken along the first axis has the samples first again.
    """

    tensor: Tensor
    axes: tuple[int, ...]

    def rest(self) -> tuple[int, ...]:
        """The order of the axes of what is taken."""
        return tuple(axis - (axis > self.axes[0]) for axis in self.axes[1:])


class PartsBuilder:
    """Adds operations for every part by itself; tensors have the shape of one part."""

    def __init__(self, net: GraphBuilder, parts: int) -> None:
        self._net = net
        self._parts = parts

    def add(self, operation: Operation, *inputs: Tensor, name: str = "", weights: str = "") -> Tensor:
        whole = [tensor._replace(shape=(self._parts, *tensor.shape)) for tensor in inputs]
        made = self._net.add(Each(parts=self._parts, step=operation.key), *whole, name=name, weights=weights)
        return made._replace(shape=made.shape[1:])


def unwrapped(value: Any) -> Any:
    """The value of a part, where there are parts."""
    return value.value if isinstance(value, Joined) else value
