"""The layer graph: operations wired together, as plain JSON-able data without torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.plugins import build, name_of, spec_of
from netwright.core.shapes import Shape
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.outline import Call, Layer, Outline

INPUT = "input"
Item = TypeVar("Item")
Block: TypeAlias = Callable[..., "Tensor"]


class Tensor(NamedTuple):
    """What flows between operations: its number, its per-sample shape, and a mark of the builder that made it."""

    number: int
    shape: Shape
    owner: object

    def __add__(self, other: object) -> Tensor:
        """Refused: as the tuples that they are, tensors would be joined."""
        raise TypeError("tensors are summed by an operation: net.add(Add(), x, y)")


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

    def __init__(self, *input_shapes: Shape, for_training: bool = False) -> None:
        # A mark and not the builder itself: a circle of references would have to be found by the garbage collector.
        self._mark = object()
        self.inputs = tuple([Tensor(index, tuple(shape), self._mark) for index, shape in enumerate(input_shapes)])
        self._count = len(self.inputs)
        self._items: list[Layer | Call] = []
        self._scopes: tuple[str, ...] = ()
        self.for_training = for_training
        self.sides: list[Tensor] = []
        """What the auxiliary heads give out; none but in a network for training."""

    @property
    def input(self) -> Tensor:
        """The network's input."""
        return self.inputs[0]

    def scope(self, name: str | int) -> _Scope:
        """Operations added inside `with net.scope(name)` are named under `name/`."""
        return _Scope(self, (*self._scopes, str(name)))

    def each(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items one after another, what is added for each under a scope of its own: `name1`, `name2`, ..."""
        for number, item in enumerate(items, start=1):
            with self.scope(f"{name}{number}"):
                yield item

    def add(self, operation: Operation, *inputs: Tensor, name: str = "", weights: str = "") -> Tensor:
        """Wire an operation to its inputs and give back what comes out.

        `name` is the last part of its path; by default the operation's own name. `weights` says where its
        weights live: operations that give the same place share them (a place that starts with `/` is
        counted from the top, any other within the current scope); by default each has its own.

        Raises ShapeError, with the place in the network, when the inputs cannot be served.
        """
        shapes = tuple([tensor.shape for tensor in inputs])
        shape, params, macs = operation.known.get(shapes) or self._known(operation, shapes, name)
        place = weights and (weights if weights[0] == "/" else "/".join([*self._scopes, weights]))
        return self._append(Layer(self._scopes, name, operation, self._numbers(inputs), shape, place, params, macs))

    def _known(self, operation: Operation, shapes: tuple[Shape, ...], name: str) -> tuple[Shape, int, int]:
        if not shapes or operation.inputs not in (None, len(shapes)):
            takes = "1 or more" if operation.inputs is None else operation.inputs
            raise SpaceError(f"{self._place(operation, name)}: takes {takes} inputs, came {len(shapes)}")
        try:
            return known(operation, shapes)
        except ShapeError as error:
            raise ShapeError(f"at {self._place(operation, name)}: {error}") from None

    def chain(self, tensor: Tensor, *operations: Operation, name: str = "") -> Tensor:
        """Add operations one after another, under the scope `name` if there is one."""
        if name:
            with self.scope(name):
                return self.chain(tensor, *operations)
        for operation in operations:
            tensor = self.add(operation, tensor)
        return tensor

    def use(self, block: Block, *inputs: Tensor, name: str = "", **settings: Hashable) -> Tensor:
        """Add what `block(net, *inputs, **settings)` adds, under a scope of its own.

        A block is a function whose operations depend on the shapes of its inputs and on its settings alone,
        so that equal blocks are worked out once. `name` is the scope, by default the function's name.
        """
        name = name or block.__name__.strip("_")
        return self.embed(self.block(block, *inputs, name=name, **settings), *inputs, name=name)

    def auxiliary(self, block: Block, *inputs: Tensor, name: str = "auxiliary", **settings: Hashable) -> None:
        """A head beside the network whose loss helps to train it: added as by `use`, and for a training alone.

        It gives what the network itself gives, such as one value per class (Szegedy et al., 2015).
        """
        if self.for_training:
            self.sides.append(self.use(block, *inputs, name=name, **settings))

    def block(self, block: Block, *inputs: Tensor, name: str, **settings: Hashable) -> Outline:
        """What `use` would add, to `embed` it in one place or more."""
        shapes = (inputs[0].shape,) if len(inputs) == 1 else tuple([tensor.shape for tensor in inputs])
        try:
            return _outline_of(block, shapes, tuple(settings.items()))
        except ShapeError as error:
            raise placed(error, "/".join([*self._scopes, name])) from None

    def use_like(self, like: Tensor, block: Block, *inputs: Tensor, name: str = "", **settings: Hashable) -> Tensor:
        """Add a block that gave `like` before, now with settings that differ in sizes alone, such as filters.

        Sizes must not decide which of its operations matter, and reach its own blocks as settings of the same name.
        Its identity then follows from that of the earlier one, and its operations are those of the earlier one in
        another size: most of the work of describing a network of one cell in several widths is saved.
        """
        call = self._call(like)
        first = call.like or call.block
        shapes, wanted = tuple([tensor.shape for tensor in inputs]), tuple(settings.items())
        outline = first.notes.get((shapes, wanted))
        if outline is None:
            outline = _resized(first, shapes, wanted) or self.block(block, *inputs, name=name, **settings)
            first.notes[shapes, wanted] = outline
        scope = name or block.__name__.strip("_")
        return self._append(Call(self._scopes, scope, outline, self._numbers(inputs), outline.output_shape, 1, first))

    def _call(self, made: Tensor) -> Call:
        item = self._items[self._numbers([made])[0] - len(self.inputs)]
        if not isinstance(item, Call):
            raise SpaceError("what an operation gives out is not the result of a block")
        return item

    def repeat(self, block: Block, tensor: Tensor, *, times: int, name: str = "", **settings: Hashable) -> Tensor:
        """Use a block `times` in a row; from the second time on it reads what it gave, so its shape must not change.

        The scopes are `name` with numbers from 1. No repetition gives the tensor back.
        """
        if times < 1:
            return tensor
        name = name or block.__name__.strip("_")
        first = self.use(block, tensor, name=name if times > 1 else f"{name}1", **settings)
        call = self._items[-1]
        if times == 1 or not isinstance(call, Call):
            return first
        if call.block.output_shape != tensor.shape:
            raise ShapeError(f"at {name}: a repeated block must keep the shape {tensor.shape}, it gives {first.shape}")
        self._items[-1] = call._replace(times=times)
        return first

    def embed(self, outline: Outline, *inputs: Tensor, name: str) -> Tensor:
        """Add a whole network, with its inputs in place of its own, under a scope of that name."""
        return self._append(Call(self._scopes, name, outline, self._numbers(inputs), outline.output_shape))

    def inline(self, outline: Outline, *inputs: Tensor, name: str) -> list[Tensor]:
        """Add what `embed` would, and give all of its tensors, its inputs first."""
        path = (*self._scopes, name)
        tensors = list(inputs)
        for item in outline.items:
            item = item._replace(scopes=(*path, *item.scopes), inputs=self._numbers([tensors[n] for n in item.inputs]))
            if isinstance(item, Layer) and item.weights and item.weights[0] != "/":
                item = item._replace(weights="/".join([*path, item.weights]))
            tensors.append(self._append(item))
        return tensors

    def outline(self, output: Tensor) -> Outline:
        """The network whose result is `output`, with its blocks."""
        return Outline(tuple(t.shape for t in self.inputs), tuple(self._items), self._numbers([output])[0])

    def finish(self, output: Tensor) -> LayerGraph:
        """The graph whose result is `output`."""
        return flatten(self.outline(output))

    def _append(self, item: Layer | Call) -> Tensor:
        self._items.append(item)
        self._count += 1
        return Tensor(self._count - 1, item.shape, self._mark)

    def _numbers(self, tensors: Sequence[Tensor]) -> tuple[int, ...]:
        mark = self._mark
        for tensor in tensors:
            if tensor[2] is not mark:
                raise SpaceError("a block may use only the tensors it is given, and gives back one of its own")
        return (tensors[0][0],) if len(tensors) == 1 else tuple([tensor[0] for tensor in tensors])

    def _place(self, operation: Operation, name: str) -> str:
        return "/".join([*self._scopes, name or name_of(operation).rpartition(":")[2].lower()])


class _Scope:
    """Names added inside are put under a path; a context manager made of a generator would cost three times as much."""

    __slots__ = ("_before", "_net", "_path")

    def __init__(self, net: GraphBuilder, path: tuple[str, ...]) -> None:
        self._net, self._path, self._before = net, path, net._scopes

    def __enter__(self) -> None:
        self._net._scopes = self._path

    def __exit__(self, *error: object) -> None:
        self._net._scopes = self._before


def placed(error: ShapeError, scope: str) -> ShapeError:
    """An error within a block, its place told from outside."""
    return ShapeError(re.sub(r"^at ", f"at {scope}/", str(error)))


def known(operation: Operation, shapes: tuple[Shape, ...]) -> tuple[Shape, int, int]:
    """What comes out, parameters and multiply-accumulates, kept with the operation; raises ShapeError."""
    shape = operation.output_shape(shapes)
    if min(shape, default=1) < 1:
        raise ShapeError(f"nothing is left of the input {shapes[0]}; it becomes {shape}")
    found = operation.known[shapes] = shape, operation.params(shapes), operation.macs(shapes)
    return found


@lru_cache(maxsize=256)
def _outline_of(block: Block, shapes: tuple[Shape, ...], settings: tuple[tuple[str, Hashable], ...]) -> Outline:
    """What a block adds for inputs of these shapes."""
    net = GraphBuilder(*shapes)
    outline = net.outline(block(net, *net.inputs, **dict(settings)))
    outline.notes["made by"] = block, settings
    return outline


def _resized(outline: Outline, shapes: tuple[Shape, ...], settings: tuple[tuple[str, Hashable], ...]) -> Outline | None:
    """A block for inputs of other shapes and with settings that differ in sizes alone, without running its function.

    None when a layer of its own may depend on a size: then the function has to say.
    """
    if "made by" not in outline.notes:
        return None
    changes = tuple([(old, new) for old, new in zip(outline.notes["made by"][1], settings, strict=True) if old != new])
    values = list(shapes)
    items: list[Layer | Call] = []
    for item in outline.items:
        given = tuple([values[number] for number in item.inputs])
        if isinstance(item, Layer):
            if not item.operation.sizeless:
                return None
            shape, params, macs = item.operation.known.get(given) or known(item.operation, given)
            items.append(Layer(item.scopes, item.name, item.operation, item.inputs, shape, item.weights, params, macs))
        else:
            block = item.block.notes.get((given, changes))
            if block is None:
                if "made by" not in item.block.notes:
                    return None
                function, own = item.block.notes["made by"]
                own = tuple([next((new for old, new in changes if old == pair), pair) for pair in own])
                block = item.block.notes[given, changes] = _outline_of(function, given, own)
            items.append(Call(item.scopes, item.name, block, item.inputs, block.output_shape, item.times))
        values.append(items[-1].shape)
    return Outline(shapes, tuple(items), outline.output)


def flatten(outline: Outline) -> LayerGraph:
    """The graph with every block written out."""
    if len(outline.input_shapes) != 1:
        raise SpaceError(f"a network has one input, came {len(outline.input_shapes)}")
    nodes: list[Node] = []
    values = [INPUT]
    _write(outline, values, "", nodes)
    return _checked(LayerGraph(outline.input_shapes[0], tuple(nodes), values[outline.output]))


def outline_of(graph: LayerGraph) -> Outline:
    """The graph as an outline without blocks."""
    number = {INPUT: 0, **{node.name: index for index, node in enumerate(graph.nodes, start=1)}}
    sharers = Counter(node.weights for node in graph.nodes)
    layers = []
    for node, shapes in node_shapes(graph):
        place = f"/{node.weights}" if sharers[node.weights] > 1 else ""
        inputs = tuple(number[name] for name in node.inputs)
        params, macs = node.operation.params(shapes), node.operation.macs(shapes)
        layers.append(Layer((), node.name, node.operation, inputs, node.shape, place, params, macs))
    return Outline((graph.input_shape,), tuple(layers), number[graph.output])


def _write(outline: Outline, values: list[str], prefix: str, nodes: list[Node]) -> None:
    """Add an outline's layers to `nodes`; `values` holds its inputs' names and gets those of all its tensors."""
    for item, own in zip(outline.items, outline.names, strict=True):
        inputs = [values[number] for number in item.inputs]
        path = prefix + own
        if isinstance(item, Call):
            for part in item.parts(path) if item.times > 1 else (path,):
                inner = list(inputs)
                _write(item.block, inner, part + "/", nodes)
                inputs = [inner[item.block.output]]
            values.append(inputs[0])
            continue
        place = path if not item.weights else item.weights[1:] if item.weights[0] == "/" else prefix + item.weights
        nodes.append(Node(path, item.operation, tuple(inputs), item.shape, place))
        values.append(path)


def _checked(graph: LayerGraph) -> LayerGraph:
    """Refuse two nodes of one name, and two different layers that share their weights."""
    places: dict[str, object] = {}
    if len({node.name for node in graph.nodes}) != len(graph.nodes):
        counts = Counter(node.name for node in graph.nodes)
        raise SpaceError(
            f"two operations share the place {counts.most_common(1)[0][0]!r}; give them names of their own"
        )
    if all(node.weights == node.name for node in graph.nodes):
        return graph
    for node, shapes in node_shapes(graph):
        layer = (type(node.operation), node.operation.params(shapes))
        if places.setdefault(node.weights, layer) != layer:
            raise SpaceError(f"{node.name}: shares the weights of {node.weights!r}, another kind or size of layer")
    return graph


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
