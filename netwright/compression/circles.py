"""An end to the groups of channels that Torch-Pruning follows in circles, as in the windows of Swin and MaxViT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

MOST_CHANNELS, MOST_VISITS = 1 << 17, 1000
"""Of a group of channels: how many a flattening may make of them, and layers that number them otherwise."""


def bound(graph: Any) -> None:
    """Make Torch-Pruning give up a group in which it goes round in circles, as in Swin's windows; it has none then.

    A flattening counts every channel as many, so there the same layers are visited again and again with ever more of
    them. The layers of such a group are probed.
    """
    dependencies = [dependency for node in graph.module2node.values() for dependency in node.dependencies]
    most = max(MOST_VISITS, len(dependencies))
    left = [most]
    whole = graph.get_pruning_group

    def bounded(*args: Any) -> Any:
        left[0] = most
        try:
            return whole(*args)
        except _InCirclesError:
            return []

    graph.get_pruning_group = bounded
    for dependency in dependencies:
        dependency.index_mapping = _Counted(dependency.index_mapping, left)


class _InCirclesError(Exception):
    """A group of channels has no end."""


class _Counted(list[Any]):
    """Torch-Pruning's ways to number the channels of one layer in another, so many times for a group."""

    def __init__(self, mappings: Sequence[Any], left: list[int]) -> None:
        super().__init__(mappings)
        self.left = left

    def __iter__(self) -> Iterator[Any]:
        return (one if one is None else partial(self._numbered, one) for one in super().__iter__())

    def _numbered(self, mapping: Any, channels: list[Any]) -> list[Any]:
        found: list[Any] = mapping(channels)
        self.left[0] -= 1
        if self.left[0] < 0 or len(found) > MOST_CHANNELS:
            raise _InCirclesError
        return found
