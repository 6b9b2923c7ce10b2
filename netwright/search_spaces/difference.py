"""What differs between two architectures: decisions, costs, layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from netwright.core.cost import Cost
from netwright.core.records import Decisions
from netwright.search_spaces.domain import Value
from netwright.search_spaces.graph import LayerGraph, Node, node_shapes

Change = Literal["added", "removed", "replaced", "resized", "rewired"]


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """A decision with two values; None where it is not asked for."""

    name: str
    left: Value | None
    right: Value | None


@dataclass(frozen=True, slots=True)
class LayerChange:
    """A layer that differs. Its words and parameters on each side; empty and 0 where it is absent.

    `replaced`: another operation or other attributes; `resized`: the same for another shape; `rewired`: the
    same, reading from elsewhere.
    """

    name: str
    change: Change
    left: str
    right: str
    left_params: int
    right_params: int


@dataclass(frozen=True, slots=True)
class CostChange:
    """A cost on both sides."""

    metric: str
    left: int
    right: int

    @property
    def ratio(self) -> float | None:
        """Right over left, or None when left is 0."""
        return self.right / self.left if self.left else None


def decision_changes(left: Decisions, right: Decisions) -> list[DecisionChange]:
    """The decisions whose values differ, those of `left` first."""
    found = []
    for name in {**left, **right}:
        one, other = _plain(left.get(name)), _plain(right.get(name))
        if type(one) is not type(other) or one != other:
            found.append(DecisionChange(name, one, other))
    return found


def cost_changes(left: Cost, right: Cost) -> list[CostChange]:
    """Parameters, MACs and peak activation bytes of both."""
    return [
        CostChange("params", left.params, right.params),
        CostChange("macs", left.macs, right.macs),
        CostChange("activation_bytes", left.peak_activation_bytes, right.peak_activation_bytes),
    ]


def layer_changes(left: LayerGraph, right: LayerGraph) -> list[LayerChange]:
    """The layers that differ, told apart by their names, in the order in which they run."""
    before, after = dict(_layers(left)), dict(_layers(right))
    found = []
    for name in _merged(list(before), list(after)):
        one, other = before.get(name), after.get(name)
        change = _change(one, other)
        if change is not None:
            params = [0 if layer is None else layer[1] for layer in (one, other)]
            found.append(LayerChange(name, change, _words(one), _words(other), params[0], params[1]))
    return found


_Layer = tuple[Node, int]


def _layers(graph: LayerGraph) -> Iterator[tuple[str, _Layer]]:
    for node, shapes in node_shapes(graph):
        yield node.name, (node, node.operation.params(shapes))


def _change(one: _Layer | None, other: _Layer | None) -> Change | None:
    if one is None or other is None:
        return "added" if one is None else "removed"
    if one[0].operation != other[0].operation:
        return "replaced"
    if one[0].shape != other[0].shape or one[1] != other[1]:
        return "resized"
    return "rewired" if one[0].inputs != other[0].inputs else None


def _words(layer: _Layer | None) -> str:
    return "" if layer is None else f"{layer[0].operation.label()} → {'×'.join(map(str, layer[0].shape))}"


def _merged(left: list[str], right: list[str]) -> list[str]:
    """The names of both in one order, each new one of `right` after the one it follows there."""
    merged = list(left)
    known, place = set(left), -1
    for name in right:
        if name in known:
            place = merged.index(name)
            continue
        place += 1
        merged.insert(place, name)
    return merged


def _plain(value: object) -> Value | None:
    return tuple(value) if isinstance(value, list) else value  # type: ignore[return-value]  # a decision's value
