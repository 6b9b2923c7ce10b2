"""The layer graph: operations wired together, as plain JSON-able data without torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.plugins import build, name_of, spec_of
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Operation

INPUT = "input"


@dataclass(frozen=True, slots=True)
class Tensor:
    """What flows between operations: the node that makes it and its per-sample shape."""

    node: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Node:
    """One operation at one place: its name (a path), its inputs and what comes out.

    `weights` is the place of its weights; two operations of one place share them.
    """

    name: str
    operation: Operation
    inputs: tuple[str, ...]
    shape: Shape
    weights: str


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Operations in an order in which they can run; `output` names the last one."""

    input_shape: Shape
    nodes: tuple[Node, ...]
    output: str

    def shape_of(self, name: str) -> Shape:
        """The shape of what a node gives out; the input counts as a node."""
        if name == INPUT:
            return self.input_shape
        return next(node.shape for node in self.nodes if node.name == name)

    def shapes(self) -> dict[str, Shape]:
        """The shape of what every node gives out, the input included."""
        return {INPUT: self.input_shape, **{node.name: node.shape for node in self.nodes}}

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        nodes = [
            {
                "name": n.name,
                "operation": spec_of(n.operation),
                "inputs": list(n.inputs),
                "shape": list(n.shape),
                **({"weights": n.weights} if n.weights != n.name else {}),
            }
            for n in self.nodes
        ]
        return {"input_shape": list(self.input_shape), "nodes": nodes, "output": self.output}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LayerGraph:
        """A graph from plain data; shapes are inferred again, so a foreign file cannot lie about them."""
        net = GraphBuilder(tuple(data["input_shape"]))
        tensors = {INPUT: net.input}
        try:
            for entry in data["nodes"]:
                operation = build("operation", entry["operation"])
                assert isinstance(operation, Operation)
                inputs = [tensors[name] for name in entry["inputs"]]
                weights = "/" + str(entry.get("weights", entry["name"]))
                tensors[entry["name"]] = net.add(operation, *inputs, name=entry["name"], weights=weights)
            return net.finish(tensors[data["output"]])
        except KeyError as error:
            raise SpaceError(f"not a layer graph: {error} is missing") from None


class GraphBuilder:
    """Adds operations one by one; shapes are inferred and channels matched on the way."""

    def __init__(self, input_shape: Shape) -> None:
        self.input = Tensor(INPUT, tuple(input_shape))
        self._nodes: list[Node] = []
        self._names: set[str] = {INPUT}
        self._scopes: list[str] = []
        self._places: dict[str, object] = {}

    @contextmanager
    def scope(self, name: str | int) -> Iterator[None]:
        """Operations added inside are named under `name/`."""
        self._scopes.append(str(name))
        try:
            yield
        finally:
            self._scopes.pop()

    def add(self, operation: Operation, *inputs: Tensor, name: str = "", weights: str = "") -> Tensor:
        """Wire an operation to its inputs and give back what comes out.

        `name` is the last part of its path; by default the operation's own name. `weights` says where its
        weights live: operations that give the same place share them (a place that starts with `/` is
        counted from the top, any other within the current scope); by default each has its own.

        Raises ShapeError, with the place in the network, when the inputs cannot be served.
        """
        path = self._unique("/".join([*self._scopes, name or name_of(operation).rpartition(":")[2].lower()]))
        if operation.inputs is not None and len(inputs) != operation.inputs:
            raise SpaceError(f"{path}: takes {operation.inputs} inputs, came {len(inputs)}")
        try:
            shape = operation.output_shape([tensor.shape for tensor in inputs])
        except ShapeError as error:
            raise ShapeError(f"at {path}: {error}") from None
        if any(size < 1 for size in shape):
            raise ShapeError(f"at {path}: nothing is left of the input {inputs[0].shape}; it becomes {shape}")
        place = (weights[1:] if weights[0] == "/" else "/".join([*self._scopes, weights])) if weights else path
        self._check_shared(place, path, operation, [tensor.shape for tensor in inputs])
        self._nodes.append(Node(path, operation, tuple(tensor.node for tensor in inputs), shape, place))
        return Tensor(path, shape)

    def chain(self, tensor: Tensor, *operations: Operation) -> Tensor:
        """Add operations one after another."""
        for operation in operations:
            tensor = self.add(operation, tensor)
        return tensor

    def use(self, block: Callable[..., Tensor], *inputs: Tensor, name: str = "", **settings: Hashable) -> Tensor:
        """Add what `block(net, *inputs, **settings)` adds, under a scope of its own.

        A block is a function whose operations depend on the shapes of its inputs and on its settings alone,
        which lets equal blocks be worked out once. `name` is the scope, by default the function's name.
        """
        with self.scope(name or block.__name__.strip("_")):
            return block(self, *inputs, **settings)

    def finish(self, output: Tensor) -> LayerGraph:
        """The graph whose result is `output`."""
        return LayerGraph(self.input.shape, tuple(self._nodes), output.node)

    def _check_shared(self, place: str, path: str, operation: Operation, shapes: Sequence[Shape]) -> None:
        """Refuse two different layers at one place."""
        layer = (type(operation), operation.params(shapes), tuple(shape[:1] for shape in shapes))
        if self._places.setdefault(place, layer) != layer:
            raise SpaceError(f"{path}: shares the weights of {place!r}, which belong to another kind or size of layer")

    def _unique(self, path: str) -> str:
        if path not in self._names:
            self._names.add(path)
            return path
        number = 2
        while f"{path}_{number}" in self._names:
            number += 1
        self._names.add(f"{path}_{number}")
        return f"{path}_{number}"


def consumers(graph: LayerGraph) -> dict[str, list[str]]:
    """For every node, the nodes that read what it gives out."""
    readers: dict[str, list[str]] = {INPUT: [], **{node.name: [] for node in graph.nodes}}
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node.name)
    return readers


def node_shapes(graph: LayerGraph) -> Iterator[tuple[Node, Sequence[Shape]]]:
    """Every node with the shapes that come into it."""
    shapes = graph.shapes()
    for node in graph.nodes:
        yield node, [shapes[name] for name in node.inputs]
