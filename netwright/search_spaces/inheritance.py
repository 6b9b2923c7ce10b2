"""Narrower and shallower networks that take over a trained network's weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import fx, nn
from torch.func import functional_call

from netwright.core.errors import SpaceError
from netwright.core.files import canonical_json
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.channels import Axes, ChannelMap, is_touched, places
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.graph import LayerGraph
from netwright.search_spaces.supernet import Supernet

if TYPE_CHECKING:
    from netwright.search_spaces.spaces.from_model import FromModel

State = Mapping[str, torch.Tensor]
KEPT_SKELETONS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """The entries of one weight of the whole network that a narrower one has: for each axis which, None for all."""

    name: str
    indices: tuple[torch.Tensor | None, ...]

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """The entries; the weight itself when nothing is left out."""
        for axis, index in enumerate(self.indices):
            if index is not None:
                whole = whole.index_select(axis, index.to(whole.device))
        return whole

    def write(self, part: torch.Tensor, whole: torch.Tensor) -> None:
        """Put entries of a buffer with one axis back where they came from."""
        if self.indices and self.indices[0] is not None:
            whole.index_copy_(0, self.indices[0].to(whole.device), part)


def orders(graph: LayerGraph, channels: ChannelMap, state: State) -> dict[str, tuple[int, ...]]:
    """The units of every group, the most important first.

    A unit's importance is the sum of the absolute values (L1 norm; Li et al., 2017) of all weights that make,
    scale or read it. Of each weight the share that the unit has is taken, so that large layers do not outweigh
    small ones. Biases and running statistics say nothing of importance.
    """
    sums = {group.name: torch.zeros(group.units, dtype=torch.float64) for group in channels.groups}
    for name, axes in _weights(graph, channels).items():
        if name not in state or not name.rpartition(".")[2].startswith("weight"):
            continue
        weight = state[name].detach().cpu()
        for axis, segments in enumerate(axes):
            if segments is None or not is_touched(segments, sums):
                continue
            others = [other for other in range(weight.dim()) if other != axis]
            norms = torch.linalg.vector_norm(weight, 1, dim=others) if others else weight.abs()
            totals = norms.to(torch.float64)
            shares = totals / totals.sum().clamp_min(torch.finfo(torch.float64).tiny)
            start = 0
            for segment in segments:
                size = segment.units * segment.block
                if segment.group in sums:
                    mine = shares[start : start + size].reshape(segment.units, segment.block)
                    sums[segment.group] += mine.sum(dim=1)
                start += size
    return {name: tuple(torch.argsort(-total, stable=True).tolist()) for name, total in sums.items()}


def parts(graph: LayerGraph, channels: ChannelMap, state: State, kept: Mapping[str, Sequence[int]]) -> dict[str, Part]:
    """What a network that keeps these units takes of every weight of the whole one."""
    axes_of = _weights(graph, channels)
    units = {group.name: group.units for group in channels.groups}
    kept = {name: some for name, some in kept.items() if len(some) < units[name]}
    found = {}
    for name, weight in state.items():
        axes = axes_of.get(name, ())
        indices = tuple(
            torch.tensor(places(axis, kept)) if axis is not None and is_touched(axis, kept) else None for axis in axes
        )
        found[name] = Part(name, indices if weight.dim() else ())
    return found


class InheritingSupernet(Supernet):
    """A trained network of which every architecture of its space is a part.

    Unlike in other supernets the channels of a narrower layer are not the first ones but the most important,
    and where a concatenation or a flattened image is read, those entries that belong to them.
    """

    def __init__(self, space: FromModel, shapes: Shapes, *, seed: int = 0) -> None:
        nn.Module.__init__(self)
        self._parent_space = space
        self._shapes = shapes
        self._graph, self._channels = space.network_at(shapes)
        self._whole = inherited(space, shapes, seed=seed)
        self._orders = space.orders() or orders(self._graph, self._channels, self._whole.state_dict())
        self._cuts: OrderedDict[str, tuple[fx.GraphModule, dict[str, Part]]] = OrderedDict()
        self._now: str | None = None

    def choose(self, decisions: Decisions) -> None:
        """Make `forward` run this architecture; raises SpaceError for decisions that are not of the space."""
        self._now = self._key_of(decisions)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs of the chosen architecture: (batch, *shapes.input) -> (batch, *shapes.output_shape)."""
        if self._now is None or self._now not in self._cuts:
            raise SpaceError("a supernet runs one architecture at a time: call choose(decisions) first")
        skeleton, found = self._cuts[self._now]
        skeleton.train(self.training)
        weights = {name: part.of(self._tensor(name)) for name, part in found.items()}
        outputs: torch.Tensor = functional_call(skeleton, weights, (inputs,))
        if self.training:
            self._keep_statistics(weights, found)
        return outputs

    def cut(self, decisions: Decisions) -> fx.GraphModule:
        """The architecture by itself, a plain module with a copy of its weights."""
        _, found = self._cuts[self._key_of(decisions)]
        graph = self._parent_space.graph(decisions, self._shapes)
        return loaded(graph, {name: part.of(self._tensor(name)).detach().clone() for name, part in found.items()})

    def kept(self, decisions: Decisions) -> dict[str, tuple[int, ...]]:
        """Of every group of channels the units that the architecture keeps, in order."""
        return _kept(self._parent_space, decisions, self._orders)

    def _key_of(self, decisions: Decisions) -> str:
        key = canonical_json(decisions)
        if key not in self._cuts:
            with torch.device("meta"):
                skeleton = compile_graph(self._parent_space.graph(decisions, self._shapes))
            whole = {name: self._tensor(name) for name in skeleton.state_dict()}
            self._cuts[key] = (skeleton, parts(self._graph, self._channels, whole, self.kept(decisions)))
            while len(self._cuts) > KEPT_SKELETONS:
                self._cuts.popitem(last=False)
        self._cuts.move_to_end(key)
        return key

    def _tensor(self, name: str) -> torch.Tensor:
        """A weight or buffer of the whole network."""
        path, _, leaf = name.rpartition(".")
        tensor = getattr(self._whole.get_submodule(path), leaf)
        assert isinstance(tensor, torch.Tensor)
        return tensor

    def _keep_statistics(self, weights: State, found: Mapping[str, Part]) -> None:
        """Running statistics that a pass in training updated go back to the whole network."""
        with torch.no_grad():
            for name, part in found.items():
                whole = self._tensor(name)
                if not isinstance(whole, nn.Parameter):
                    part.write(weights[name], whole)


def inherited(space: FromModel, shapes: Shapes, *, seed: int = 0) -> fx.GraphModule:
    """The whole network with a copy of its weights; without a trained network they are drawn from `seed`."""
    graph, _ = space.network_at(shapes)
    state = space.trained_state()
    if state is None:
        return compile_graph(graph, seed=seed)
    return loaded(graph, {name: tensor.detach().clone() for name, tensor in state.items()})


def inherit(space: FromModel, decisions: Decisions, shapes: Shapes, state: State) -> fx.GraphModule:
    """The network of these decisions with its part of the trained weights."""
    graph = space.graph(decisions, shapes)
    with torch.device("meta"):
        names = compile_graph(graph).state_dict()
    whole, channels = space.network_at(shapes)
    kept = _kept(space, decisions, space.orders() or {})
    found = parts(whole, channels, {name: state[name] for name in names}, kept)
    return loaded(graph, {name: part.of(state[name]).detach().clone() for name, part in found.items()})


def loaded(graph: LayerGraph, state: State) -> fx.GraphModule:
    """The network of a graph that holds these tensors themselves."""
    with torch.device("meta"):  # weights need not be drawn only to be replaced
        model = compile_graph(graph)
    model.load_state_dict(dict(state), strict=True, assign=True)
    return model


def _kept(space: FromModel, decisions: Decisions, ranked: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(sorted(ranked[name][:units])) for name, units in space.plan(decisions).kept.items()}


def _weights(graph: LayerGraph, channels: ChannelMap) -> dict[str, Axes]:
    """The axes of every weight by its name in the compiled network."""
    return {
        f"{node.weights.replace('/', '.')}.{name}": axes
        for node in graph.nodes
        for name, axes in channels.flows[node.name].weights.items()
    }
