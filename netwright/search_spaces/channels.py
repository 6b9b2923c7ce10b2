"""Which channels of a layer graph belong together: what may be narrowed, and what is narrowed with it.

The channels of every value are a row of segments. A segment is the whole of one layer's channels (or of
several layers', where a sum couples them), with so many places for each of them: a convolution of 16 filters
gives 16 units of one place, its flattened 4×4 images 16 units of 16 places, a concatenation one segment
after another. From that follows, for each axis of each weight, which entries a narrower network keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import INPUT, LayerGraph, Node, node_shapes
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.each import Each

FIXED = ""
"""The group of channels that stay as they are."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Neighbouring channels of one group: `units` of them, each with `block` places in a row."""

    group: str
    units: int
    block: int = 1


Channels: TypeAlias = tuple[Segment, ...]
Axes: TypeAlias = tuple[Channels | None, ...]
"""What each axis of a weight means; None for an axis that no channel lies on."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one operation does to channels.

    `out` are the channels it gives out, `weights` the axes of its weights by name. `counted` is the field of
    the operation that holds the number of channels it gives out, if any; `narrow` are the values of other
    fields that it must have to be narrowed, or the channels whose number they are.
    """

    out: Channels
    weights: Mapping[str, Axes] = field(default_factory=dict)
    counted: Channels = ()
    counted_field: str = ""
    narrow: Mapping[str, int | Channels] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that are kept or removed together; `producers` are the places of the layers that make them."""

    name: str
    units: int
    producers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """Every node's flow, and the groups that may be narrowed, in the order in which they are made."""

    flows: Mapping[str, Flow]
    groups: tuple[Group, ...]


class Couplings:
    """Notes, while a graph is read, which layers' channels are one group and which must stay as they are."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {FIXED: FIXED}
        self._units: dict[str, int] = {}
        self._inputs: dict[str, Channels] = {}
        self._order: dict[str, int] = {FIXED: 0}

    def produce(self, place: str, units: int, *, reads: Channels) -> Channels:
        """New channels, made by the layer at this place from those it reads; a layer used twice makes the same."""
        if place in self._parent:
            self.couple(self._inputs[place], reads)
        self._parent.setdefault(place, place)
        self._order.setdefault(place, len(self._order))
        self._units.setdefault(place, units)
        self._inputs[place] = reads
        return (Segment(place, units),)

    def couple(self, left: Channels, right: Channels) -> None:
        """These channels meet one by one, as in a sum; where the segments do not match, all stay as they are."""
        if [s.units * s.block for s in left] != [s.units * s.block for s in right]:
            self.fix(left)
            self.fix(right)
            return
        for one, other in zip(left, right, strict=True):
            self._join(one.group, other.group)

    def fix(self, channels: Channels) -> None:
        """These channels stay as they are."""
        for segment in channels:
            self._join(segment.group, FIXED)

    def settled(self, channels: Channels) -> Channels:
        """The same channels with the names of their groups."""
        return tuple(self._settled(segment) for segment in channels)

    def groups(self) -> tuple[Group, ...]:
        """The groups of more than one unit that may be narrowed."""
        producers: dict[str, list[str]] = {}
        for place in self._units:
            producers.setdefault(self._root(place), []).append(place)
        return tuple(
            Group(root, self._units[root], tuple(places))
            for root, places in producers.items()
            if root != FIXED and self._units[root] > 1
        )

    def _settled(self, segment: Segment) -> Segment:
        root = self._root(segment.group)
        if root == FIXED:
            return Segment(FIXED, segment.units * segment.block)
        # where coarser channels were coupled with finer ones, the group has as few units as the coarser
        units = self._units[root]
        return Segment(root, units, segment.units * segment.block // units)

    def _root(self, place: str) -> str:
        while self._parent[place] != place:
            place = self._parent[place]
        return place

    def _join(self, left: str, right: str) -> None:
        left, right = self._root(left), self._root(right)
        if left == right:
            return
        first, second = sorted((left, right), key=self._order.__getitem__)
        if first != FIXED:
            fewer, more = sorted((self._units[first], self._units[second]))
            if more % fewer:
                self._join(first, FIXED)
            self._units[first] = fewer
        self._parent[second] = first  # the first layer gives a group its name


def map_channels(graph: LayerGraph) -> ChannelMap:
    """Follow the channels from the input to the output of a graph.

    The network's input and output stay as they are, and so does what an operation reads or gives of which
    this module does not know how it treats channels.
    """
    from netwright.search_spaces.channel_rules import rule_of

    couplings = Couplings()
    channels: dict[str, Channels] = {INPUT: fixed(graph.input_shape)}
    axes: dict[str, int] = {INPUT: channel_axis(graph.input_shape)}
    flows: dict[str, Flow] = {}
    for node, shapes in node_shapes(graph):
        reads = []
        for name, shape in zip(node.inputs, shapes, strict=True):
            axis = _axis_in(node.operation, shape)
            if axes[name] != axis:  # one reads parts of samples, the other made whole ones
                couplings.fix(channels[name])
            reads.append(channels[name] if axes[name] == axis else (Segment(FIXED, shape[axis]),))
        flows[node.name] = rule_of(node.operation)(Step(node, shapes, reads, couplings))
        channels[node.name] = flows[node.name].out
        axes[node.name] = _axis_in(node.operation, node.shape)
    couplings.fix(channels[graph.output])
    return ChannelMap({name: _settled(flow, couplings) for name, flow in flows.items()}, couplings.groups())


@dataclass(frozen=True, slots=True)
class Step:
    """One operation in its graph, as a rule sees it."""

    node: Node
    shapes: Sequence[Shape]
    reads: Sequence[Channels]
    couplings: Couplings

    @property
    def operation(self) -> Operation:
        return self.node.operation


def fixed(shape: Shape) -> Channels:
    """The channels of a value of this shape, all of which stay."""
    return (Segment(FIXED, shape[channel_axis(shape)] if shape else 1),)


def channel_axis(shape: Shape) -> int:
    """Where the channels are: first in (channels, height, width), last in (time, features)."""
    return 1 if len(shape) == 2 else 0


def _axis_in(operation: Operation, shape: Shape) -> int:
    """Where an operation has the channels of what it reads or gives: those of parts are after the axis of the parts."""
    return 1 + channel_axis(shape[1:]) if isinstance(operation, Each) else channel_axis(shape)


def count(channels: Channels, kept: Mapping[str, int]) -> int:
    """The number of places when of each group so many units are kept; groups not named are whole."""
    return sum(kept.get(segment.group, segment.units) * segment.block for segment in channels)


def places(channels: Channels, kept: Mapping[str, Sequence[int]]) -> list[int]:
    """The places that are kept, in order, when of each group these units are; groups not named are whole."""
    found: list[int] = []
    start = 0
    for segment in channels:
        units: Iterable[int] = kept.get(segment.group, range(segment.units))
        for unit in units:
            first = start + unit * segment.block
            found.extend(range(first, first + segment.block))
        start += segment.units * segment.block
    return found


def is_touched(channels: Channels | None, groups: Mapping[str, object]) -> bool:
    """Whether any of these channels belongs to one of the groups."""
    return channels is not None and any(segment.group in groups for segment in channels)


def _settled(flow: Flow, couplings: Couplings) -> Flow:
    weights = {
        name: tuple(None if axis is None else couplings.settled(axis) for axis in axes)
        for name, axes in flow.weights.items()
    }
    narrow = {name: v if isinstance(v, int) else couplings.settled(v) for name, v in flow.narrow.items()}
    out, counted = couplings.settled(flow.out), couplings.settled(flow.counted)
    return replace(flow, out=out, weights=weights, counted=counted, narrow=narrow)
