"""Where the network of a space comes from: a function, a saved file, a landmark, or a live module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.core.errors import CheckpointError, ShapeError, SpaceError
from netwright.core.files import file_hash
from netwright.core.plugins import import_dotted
from netwright.core.shapes import Shape, Shapes
from netwright.search_spaces.canonical import simplify
from netwright.search_spaces.channels import ChannelMap, map_channels
from netwright.search_spaces.graph import LayerGraph, node_shapes

if TYPE_CHECKING:
    import torch

    from netwright.search_spaces.landmark import Landmark

KEPT_SHAPES = 8


class Source:
    """A network as a layer graph, and its trained weights if it has any.

    Equal sources of one process are one object, so that a network is read once.
    """

    def __init__(
        self,
        graph: LayerGraph,
        *,
        landmark: Landmark | None = None,
        weights: Path | None = None,
        state: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.graph = graph
        self.landmark = landmark
        self._weights = weights
        self._state = state
        self._orders: Mapping[str, tuple[int, ...]] | None = None
        self._known: dict[Shapes, tuple[LayerGraph, ChannelMap]] = {}

    @cached_property
    def channels(self) -> ChannelMap:
        """The channels of the network as it is."""
        return map_channels(self.graph)

    def at(self, shapes: Shapes) -> tuple[LayerGraph, ChannelMap]:
        """The network for an input; raises ShapeError when it cannot serve it."""
        if self.landmark is None and shapes.input == self.graph.input_shape:
            return self.graph, self.channels
        if shapes not in self._known:
            graph = self._for(shapes)
            while len(self._known) >= KEPT_SHAPES:
                self._known.pop(next(iter(self._known)))
            self._known[shapes] = (graph, map_channels(graph))
        return self._known[shapes]

    def state(self) -> Mapping[str, torch.Tensor] | None:
        """The trained weights by their names in the compiled network."""
        if self._state is None and self._weights is not None:
            self._state = _checked(read_weights(self._weights), self.graph, self._weights)
        return self._state

    def orders(self) -> Mapping[str, tuple[int, ...]] | None:
        """The units of every group of channels, the most important first; None without trained weights."""
        state = self.state()
        if self._orders is None and state is not None:
            from netwright.search_spaces.inheritance import orders

            self._orders = orders(self.graph, self.channels, state)
        return self._orders

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the trained weights, the same in memory and in a file; empty without weights."""
        if self._state is not None:
            from safetensors.torch import save

            content = save({name: tensor.detach().cpu().contiguous() for name, tensor in self._state.items()})
            return sha256(content).hexdigest()
        if self._weights is None:
            return ""
        try:
            return file_hash(self._weights)
        except OSError as error:
            raise _unreadable(self._weights, error) from None

    def _for(self, shapes: Shapes) -> LayerGraph:
        if self.landmark is not None:
            return _landmark_graph(self.landmark, shapes)
        graph = LayerGraph.from_json({**self.graph.to_json(), "input_shape": shapes.input})
        before = dict(zip((n.name for n in self.graph.nodes), node_shapes(self.graph), strict=True))
        for node, reads in node_shapes(graph):
            if node.operation.params(reads) != node.operation.params(before[node.name][1]):
                raise ShapeError(
                    f"at {node.name}: the network was read with the input {self.graph.input_shape} and its weights "
                    f"do not fit the input {shapes.input}"
                )
        return graph


def source_of(model: str | Mapping[str, Any], weights: str | None, input_shape: Shape | None) -> Source:
    """The source that the settings of a space mean."""
    text = model if isinstance(model, str) else json.dumps(model, sort_keys=True)
    return _source(text, isinstance(model, str), weights, input_shape)


def write_source(source: Source, folder: Path) -> tuple[str, str | None]:
    """Write `network.json` and `weights.safetensors`; gives back both paths, the second None without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    network = folder / "network.json"
    network.write_text(json.dumps(source.graph.to_json(), indent=1), encoding="utf-8")
    state = source.state()
    if state is None:
        return str(network), None
    from safetensors.torch import save_file

    weights = folder / "weights.safetensors"
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in state.items()}, weights)
    return str(network), str(weights)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file; raises CheckpointError when it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"the weights {path} cannot be read ({error}); save weights with safetensors.torch.save_file"
    )


@lru_cache(maxsize=16)
def _source(text: str, is_name: bool, weights: str | None, input_shape: Shape | None) -> Source:
    path = Path(weights) if weights is not None else None
    if not is_name:
        return Source(_graph_from(text, "the space's model"), weights=path)
    if text.startswith("landmark:"):
        from netwright.search_spaces.landmark import load_landmark

        landmark = load_landmark(text)
        shapes = Shapes(input_shape or landmark.input, landmark.output)
        return Source(_landmark_graph(landmark, shapes), landmark=landmark, weights=path)
    if text.endswith(".json"):
        return Source(_graph_from(_text_of(Path(text)), text), weights=path)
    if ":" not in text:
        raise SpaceError(
            f"model: {text!r} is none of package.module:function, a .json file that save wrote, landmark:NAME"
        )
    return _from_function(text, path, input_shape)


def _from_function(path: str, weights: Path | None, input_shape: Shape | None) -> Source:
    from netwright.search_spaces.model_reading import made_by, read_model, usual_example

    module = made_by(import_dotted(path, what="model"), path, read_weights(weights) if weights else None)
    read = read_model(module, usual_example(module, path, input_shape))
    return Source(read.graph, state=read.state)


def _landmark_graph(landmark: Landmark, shapes: Shapes) -> LayerGraph:
    return simplify(landmark.search_space.raw_graph(landmark.resolved(), shapes))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"the network {path} cannot be read: {error}") from None


def _graph_from(text: str, source: str) -> LayerGraph:
    try:
        data = json.loads(text)
        if not isinstance(data, Mapping):
            raise SpaceError(f"{source} is no layer graph: expected a mapping, came {text!r:.80}")
        return LayerGraph.from_json(data)
    except ValueError as error:
        raise SpaceError(f"{source} holds no JSON: {error}") from None
    except (KeyError, TypeError) as error:
        raise SpaceError(f"{source} is no layer graph: {type(error).__name__} at {error}") from None


def _checked(state: Mapping[str, torch.Tensor], graph: LayerGraph, path: Path) -> Mapping[str, torch.Tensor]:
    """The weights, when they are those of this network."""
    import torch

    from netwright.search_spaces.compiler import compile_graph

    with torch.device("meta"):
        wanted = compile_graph(graph).state_dict()
    missing, surplus = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or surplus:
        what = f"lacks {missing[0]!r}" if missing else f"has {surplus[0]!r}, which the network lacks"
        raise CheckpointError(f"the weights in {path} do not fit the network: the file {what}")
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            came, expected = tuple(state[name].shape), tuple(tensor.shape)
            raise CheckpointError(f"the weights in {path} do not fit: {name!r} is {came}, expected {expected}")
    return state
