"""A supernet: one set of weights that every architecture of a space takes its part of."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.func import functional_call

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.files import canonical_json
from netwright.core.plugins import given
from netwright.core.records import Decisions
from netwright.core.seeds import derive_seed
from netwright.core.shapes import Shape, Shapes
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.coverage import covering
from netwright.search_spaces.graph import LayerGraph, Node, node_shapes
from netwright.search_spaces.space import SearchSpace

KEPT_SKELETONS = 64
QUIET_DRAWS = 60
"""So many random architectures without a new layer end the construction."""
LOGGER = logging.getLogger(__name__)


class Supernet(nn.Module):
    """Every layer of a space at its largest; an architecture uses the part of each that fits it.

    Layers share weights when they have the same place in the network and are the same operation: a
    convolution of 16 filters is the first 16 of one of 32, a window of 3 the middle of one of 5
    (`Operation.shared_part`). Single-path training: Guo et al., 2020; elastic layers: Cai et al., 2020.

    Architectures that make no network for these shapes are passed over with a warning; ShapeError where none does.

    >>> supernet = space.supernet(shapes)                        # doctest: +SKIP
    >>> supernet.choose(space.sample(rng))                       # doctest: +SKIP
    >>> loss(supernet(inputs), targets).backward()               # doctest: +SKIP
    >>> model = supernet.cut(decisions)                          # doctest: +SKIP
    """

    def __init__(self, space: SearchSpace, shapes: Shapes, *, seed: int = 0) -> None:
        super().__init__()
        self._space = space
        self._shapes = shapes
        self._seed = seed
        self._skeletons: OrderedDict[str, tuple[fx.GraphModule, LayerGraph]] = OrderedDict()
        self._held: set[tuple[str, str, tuple[Shape, ...]]] = set()
        self._chosen: str | None = None
        rng = random.Random(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            quiet = 0
            refused: ShapeError | None = None
            for decisions, drawn in covering(space, rng):
                try:
                    news = self._hold(space.raw_graph(decisions, shapes))
                except ShapeError as error:
                    news, refused = False, refused or error
                quiet = 0 if news else quiet + drawn
                if quiet >= QUIET_DRAWS:
                    break
        if refused and not self._held:
            raise refused
        if refused:
            LOGGER.warning("the supernet passes over architectures that make no network here, such as: %s", refused)

    def choose(self, decisions: Decisions) -> None:
        """Make `forward` run this architecture.

        A layer that the space makes so rarely that it was not met before is added now, with a warning: an
        optimizer made earlier does not know it. Raises SpaceError for decisions that are not of the space.
        """
        self._chosen = self._skeleton_of(decisions)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The outputs of the chosen architecture: (batch, *shapes.input) -> (batch, *shapes.output_shape)."""
        if self._chosen is None or self._chosen not in self._skeletons:
            raise SpaceError("a supernet runs one architecture at a time: call choose(decisions) first")
        skeleton, graph = self._skeletons[self._chosen]
        skeleton.train(self.training)
        outputs: torch.Tensor = functional_call(skeleton, self._parts(skeleton, graph), (inputs,))
        return outputs

    def cut(self, decisions: Decisions) -> fx.GraphModule:
        """The architecture by itself, a plain module with a copy of its weights."""
        skeleton, graph = self._skeletons[self._skeleton_of(decisions)]
        model = compile_graph(graph)
        state = {name: part.detach().clone() for name, part in self._parts(skeleton, graph).items()}
        model.load_state_dict(state, strict=True)
        return model

    def _skeleton_of(self, decisions: Decisions) -> str:
        """The key of the architecture's network without weights, made when it is new."""
        key = canonical_json(decisions)
        if key not in self._skeletons:
            graph = self._space.graph(decisions, self._shapes)
            if self._hold(graph, late=True):
                LOGGER.warning("the supernet got a layer that it did not have: it is untrained, and in no optimizer")
            with torch.device("meta"):
                skeleton = compile_graph(graph)
            self._skeletons[key] = (skeleton, graph)
            while len(self._skeletons) > KEPT_SKELETONS:
                self._skeletons.popitem(last=False)
        self._skeletons.move_to_end(key)
        return key

    def _parts(self, skeleton: fx.GraphModule, graph: LayerGraph) -> dict[str, torch.Tensor]:
        """For every weight of an architecture's network its part of the shared one; views, not copies."""
        found = {}
        for node, place, module in _layers(skeleton, graph):
            for name, weight in _weights(module):
                full = self._full(node, name, weight.dim())
                assert full is not None
                found[f"{place}.{name}"] = node.operation.shared_part(name, full, tuple(weight.shape))
        return found

    def _full(self, node: Node, name: str, axes: int) -> torch.Tensor | None:
        """The shared weight, when there is one with so many axes."""
        *path, leaf = _address(node, name)
        holder: nn.Module = self
        for part in path:
            if part not in holder._modules:
                return None
            holder = holder.get_submodule(part)
        for held in (leaf, f"{leaf}_{axes}d"):
            weight = getattr(holder, held, None)
            if isinstance(weight, torch.Tensor) and weight.dim() == axes:
                return weight
        return None

    def _hold(self, graph: LayerGraph, *, late: bool = False) -> bool:
        """Make room for a network's layers, and say whether any was missing or too small.

        What is there already stays as it is where both overlap. The weights of a late layer follow from the supernet's
        seed and the layer, so that it is the same whenever it is met.
        """
        news = False
        for node, shapes in node_shapes(graph):
            layer = (node.weights, node.operation.key, tuple(shapes))
            if layer in self._held:
                continue
            self._held.add(layer)
            with torch.random.fork_rng(devices=[], enabled=late):
                if late:
                    torch.manual_seed(derive_seed("late", self._seed, *layer))
                module: nn.Module | None = given(node.operation, "module", nn.Module | None, shapes)
                for name, weight in _weights(module) if module is not None else ():
                    news |= self._grow(node, name, weight)
        return news

    def _grow(self, node: Node, name: str, weight: torch.Tensor) -> bool:
        full = self._full(node, name, weight.dim())
        shape = tuple(weight.shape)
        if full is not None:
            shape = tuple(max(a, b) for a, b in zip(shape, full.shape, strict=True))
            if shape == tuple(full.shape):
                return False
        # what neither layer covers is drawn with the new layer's spread
        grown = weight.detach().new_zeros(shape)
        if grown.is_floating_point() and grown.dim():
            spread, mean = (weight.std(correction=0), weight.mean()) if weight.numel() else (0.0, 0.0)
            grown = torch.randn_like(grown) * spread + mean
        for part in [weight] if full is None else [weight, full]:
            places = torch.arange(grown.numel()).reshape(grown.shape)
            places = node.operation.shared_part(name, places, tuple(part.shape))
            grown.view(-1)[places] = part.detach()  # by place, since a part of stacked gates is no view
        self._register(node, name, grown, isinstance(weight, nn.Parameter))
        return True

    def _register(self, node: Node, name: str, tensor: torch.Tensor, trained: bool) -> None:
        *path, leaf = _address(node, name)
        holder: nn.Module = self
        for part in path:
            if part not in holder._modules:
                holder.add_module(part, nn.Module())
            holder = holder.get_submodule(part)
        if isinstance(getattr(holder, leaf, None), torch.Tensor) and getattr(holder, leaf).dim() != tensor.dim():
            leaf = f"{leaf}_{tensor.dim()}d"  # one number for all in one architecture, one for each in another
        if trained:
            holder.register_parameter(leaf, nn.Parameter(tensor))
        else:
            holder.register_buffer(leaf, tensor)


def _layers(skeleton: fx.GraphModule, graph: LayerGraph) -> Iterator[tuple[Node, str, nn.Module]]:
    """The layers that have weights of their own, with where they are in the network."""
    seen: set[str] = set()
    for node in graph.nodes:
        place = node.weights.replace("/", ".")
        if place in seen:
            continue
        seen.add(place)
        try:
            yield node, place, skeleton.get_submodule(place)
        except AttributeError:
            continue  # an operation without a module


def _weights(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _address(node: Node, name: str) -> list[str]:
    """Where a shared weight lives in the supernet: the layer's place, its operation, the weight's name."""
    return [*(f"at_{part}" for part in node.weights.split("/")), node.operation.shared_as(), *name.split(".")]
