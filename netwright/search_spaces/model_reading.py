"""A user's torch network read as a layer graph with its weights, and proven to compute the same.

The network is traced with torch.fx: modules of `torch.nn` become operations under their own names, functions
in `forward` become operations under the name of the module that calls them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from netwright.core.errors import CheckpointError, ShapeError, SpaceError
from netwright.core.shapes import Shape
from netwright.search_spaces.compiler import compile_graph
from netwright.search_spaces.graph import INPUT, GraphBuilder, LayerGraph, Tensor
from netwright.search_spaces.model_attention import (
    Turned,
    attention,
    is_flattened,
    transformer,
    turned_back,
    with_parameter,
)
from netwright.search_spaces.model_calls import Call, call_operation
from netwright.search_spaces.model_layers import UnreadableError, expect, layer_operation
from netwright.search_spaces.model_recurrent import PARTLY, RECURRENT, LayersRead, Pair, recurrent_layers, taken
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.tokens import Tokens

BATCH = 3
"""A batch of its own size tells it from the axes of a sample."""
TOLERANCE = 1e-5
SIZES = (224, 32, 28, 64, 96, 128, 256, 299)
STEPS = 20


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A network as a layer graph, and its weights by their names in the compiled graph."""

    graph: LayerGraph
    state: Mapping[str, torch.Tensor]


def read_model(model: nn.Module, example: torch.Tensor) -> ReadModel:
    """The network as a layer graph; `example` is a batch of inputs, of which the first few are used.

    Raises SpaceError that names the layer which cannot be read, or does not compute the same.
    """
    model = copy.deepcopy(model).cpu().eval()
    if not isinstance(example, torch.Tensor) or example.dim() < 2 or not len(example):
        raise SpaceError(f"the example must be a tensor with a batch of inputs, came {example!r:.80}")
    inputs = example.detach().cpu().repeat(BATCH, *[1] * (example.dim() - 1))[:BATCH]
    traced = _traced(model)
    seen = _Recorder(traced)
    try:
        with torch.inference_mode():
            expected = seen.run(inputs)
    except Exception as error:
        raise SpaceError(
            f"the network does not run on the example {tuple(example.shape)}: {_first_line(error)}"
        ) from error
    reading = _Reading(traced, seen.results, tuple(inputs.shape[1:]))
    read = ReadModel(reading.graph(), reading.state)
    _prove(read, reading, inputs, expected, seen.results)
    return read


def made_by(function: Any, path: str, weights: Mapping[str, torch.Tensor] | None) -> nn.Module:
    """The network that a user's function makes, always with the same random weights, and with these if given."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = function() if callable(function) else function
    if not isinstance(model, nn.Module):
        raise SpaceError(f"model: {path!r} must make a torch.nn.Module, came a {type(model).__name__}")
    if weights is None:
        return model
    try:
        missing, surplus = model.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"the weights do not fit the network that {path!r} makes: {error}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or surplus:
        what = f"lack {missing[0]!r}" if missing else f"have {surplus[0]!r}, which it lacks"
        raise CheckpointError(f"the weights do not fit the network that {path!r} makes: they {what}")
    return model


def usual_example(model: nn.Module, path: str, shape: Shape | None) -> torch.Tensor:
    """Inputs of the given shape, or of the first usual one that the network takes."""
    generator = torch.Generator().manual_seed(0)
    if shape is not None:
        return torch.randn(BATCH, *shape, generator=generator)
    tried = _usual_shapes(model)
    module = copy.deepcopy(model).cpu().eval()
    for candidate in tried:
        inputs = torch.randn(BATCH, *candidate, generator=generator)
        try:
            with torch.inference_mode():
                module(inputs)
        except Exception:  # noqa: S112 -- it says only that this is not the shape
            continue
        return inputs
    listed = ", ".join("×".join(map(str, candidate)) for candidate in tried) or "none"
    raise SpaceError(f"give the space's input, such as [3, 48, 48]: {path!r} takes none of the usual shapes ({listed})")


def _usual_shapes(model: nn.Module) -> list[Shape]:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return [(module.in_channels, size, size) for size in SIZES]
        if isinstance(module, nn.Linear):
            return [(module.in_features,), (STEPS, module.in_features)]
        if isinstance(module, nn.RNNBase):
            return [(STEPS, module.input_size)]
    return []


def _traced(model: nn.Module) -> fx.GraphModule:
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:
        raise SpaceError(
            f"the network cannot be traced: {error}; expected a forward(x) of one input whose steps do not depend "
            "on the values of tensors"
        ) from error
    for node in reversed(traced.graph.nodes):
        # `x, (h, c) = lstm(x)` takes apart what nobody reads
        if node.target is operator.getitem and not node.users:
            traced.graph.erase_node(node)
    return traced


class _Recorder(fx.Interpreter):
    """Runs a traced network and keeps what every step gave."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.results: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        # a later step may write into it
        self.results[n] = result.clone() if isinstance(result, torch.Tensor) else result
        return result


class _Reading:
    """Goes through a traced network step by step, adding operations to a graph.

    What a step gives is a tensor of the graph, what a recurrent layer gives, or a constant.
    """

    def __init__(self, traced: fx.GraphModule, results: Mapping[fx.Node, Any], shape: Shape) -> None:
        self._traced = traced
        self._results = results
        self._net = GraphBuilder(shape)
        self._values: dict[fx.Node, Any] = {}
        self._names = {INPUT, *(_place(path) for path, _ in traced.named_modules() if path)}
        self._called: set[str] = set()
        self.state: dict[str, torch.Tensor] = {}
        self.steps: list[tuple[fx.Node, Tensor]] = []

    def graph(self) -> LayerGraph:
        """The graph of the whole network."""
        output: Any = None
        for node in self._traced.graph.nodes:
            try:
                if node.op == "output":
                    output = self._given(node.args[0])
                    expect(isinstance(output, Tensor), "one tensor as the network's result")
                else:
                    self._values[node] = self._value(node)
                    if isinstance(self._values[node], Tensor):
                        self.steps.append((node, self._values[node]))
            except (UnreadableError, ShapeError) as error:
                raise SpaceError(f"{self.where(node)} cannot be read: {error}") from None
        return self._net.finish(output)

    def until(self, tensor: Tensor) -> LayerGraph:
        """The graph as far as one tensor."""
        return self._net.finish(tensor)

    def where(self, node: fx.Node) -> str:
        """A step in the words of the user's code."""
        if node.op == "call_module":
            return f"the layer {node.target!r} ({type(self._traced.get_submodule(str(node.target))).__name__})"
        owner = _owner(node)
        return f"the step {_name(node)!r} in {owner!r}" if owner else f"the step {_name(node)!r} of forward"

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._placeholder(node)
        arguments, named = self._given(node.args), self._given(node.kwargs)
        flat = [*_flat(arguments), *_flat(named)]
        result = self._results[node]
        if not any(isinstance(value, (Tensor, Turned, *PARTLY)) for value in flat):
            return result
        if node.op != "call_module":
            special = self._special(node, arguments)
            if special is not None:
                return special
        found = taken(_name(node), arguments)
        if found is not None:
            return self._add_if_operation(node, found)
        if not isinstance(result, (torch.Tensor, tuple)) or isinstance(result, torch.Size):
            return result  # a size or a number
        if node.op == "call_module":
            return self._layer(node, arguments, named)
        after = self._shape_of(result if isinstance(result, torch.Tensor) else result[0])
        call = Call(_name(node), tuple(arguments), dict(named), after)
        operation = call_operation(call)
        tensor = call.tensors[0] if operation is None else self._add(node, operation, call.tensors)
        expect(tensor.shape == after, f"a result of the shape {tensor.shape}, came {after}")
        return tensor if isinstance(result, torch.Tensor) else Pair(tensor)

    def _special(self, node: fx.Node, arguments: Any) -> Any:
        """What is written around transformers, or None."""
        learned = with_parameter(node, arguments)
        if learned is not None:
            operation, tensor, state = learned
            path = self._unused(self._path(node))
            return self._put(path, operation, [tensor], state)
        if is_flattened(_name(node), arguments):
            return Turned(self._add(node, Tokens(), [arguments[0]]))
        return turned_back(_name(node), arguments)

    def _placeholder(self, node: fx.Node) -> Any:
        if not self._values:
            return self._net.input
        expect(bool(node.args), "a forward of one input")
        return node.args[0]

    def _given(self, arguments: Any) -> Any:
        """Arguments with what their steps gave in their places."""
        return fx.node.map_arg(arguments, lambda node: self._values[node])

    def _layer(self, node: fx.Node, arguments: Any, named: Mapping[str, Any]) -> Any:
        module = self._traced.get_submodule(str(node.target))
        place = _place(str(node.target))
        if type(module) in RECURRENT:
            layers = recurrent_layers(module, arguments, named)
            tensors = [arguments[0]]
            for part, layer, weights in layers:
                path = place if len(layers) == 1 else f"{place}/{part}"
                self._keep(path, weights)
                name = self._first_or_unused(path)
                tensors.append(self._net.add(layer, tensors[-1], name=name, weights=f"/{path}"))
            return LayersRead.of(module, layers, tensors[1:])
        if isinstance(module, nn.MultiheadAttention):
            return Pair(attention(module, place, arguments, named, self._put))
        expect(len(arguments) == 1 and not named, "a layer of one input")
        if isinstance(module, (nn.TransformerEncoder, nn.TransformerEncoderLayer)):
            return transformer(module, place, arguments[0], self._put)
        operation = layer_operation(module)
        if operation is None:
            return arguments[0]
        state = module.state_dict()
        name = self._first_or_unused(place)
        self._keep(place, state)
        return self._net.add(operation, *arguments, name=name, weights=f"/{place}" if state else "")

    def _keep(self, place: str, state: Mapping[str, torch.Tensor]) -> None:
        self.state |= {f"{place.replace('/', '.')}.{name}": tensor.detach().clone() for name, tensor in state.items()}

    def _add_if_operation(self, node: fx.Node, found: Any) -> Any:
        if isinstance(found, tuple) and isinstance(found[0], Operation):
            return self._add(node, found[0], [found[1]])
        return found

    def _add(self, node: fx.Node, operation: Operation, tensors: list[Tensor]) -> Tensor:
        return self._net.add(operation, *tensors, name=self._unused(self._path(node)))

    def _put(
        self, path: str, operation: Operation, tensors: Sequence[Tensor], state: Mapping[str, torch.Tensor]
    ) -> Tensor:
        """Add an operation with its weights; used again, it is the same layer."""
        self._keep(path, state)
        weights = f"/{path}" if state else ""
        return self._net.add(operation, *tensors, name=self._first_or_unused(path), weights=weights)

    def _path(self, node: fx.Node) -> str:
        """Where an operation that is no module lives: in the module whose `forward` calls it."""
        return "/".join(part for part in (_place(_owner(node)), _name(node).rstrip("_")) if part)

    def _first_or_unused(self, place: str) -> str:
        """The place itself for the first call of a layer, else a name with a number."""
        if place in self._called:
            return self._unused(place)
        self._called.add(place)
        self._names.add(place)
        return place

    def _unused(self, name: str) -> str:
        number = 2
        unused = name
        while unused in self._names:
            unused = f"{name}-{number}"
            number += 1
        self._names.add(unused)
        return unused

    def _shape_of(self, result: Any) -> Shape:
        batched = isinstance(result, torch.Tensor) and result.dim() > 0 and len(result) == BATCH
        expect(batched, "a tensor whose first axis is the batch")
        return tuple(result.shape[1:])


def _prove(
    read: ReadModel, reading: _Reading, inputs: torch.Tensor, expected: Any, results: Mapping[fx.Node, Any]
) -> None:
    """Raise SpaceError at the first step whose result differs from the user's network's."""
    if _close(_run(read.graph, read.state, inputs), expected):
        return
    for node, tensor in reading.steps:
        if not _close(_run(reading.until(tensor), read.state, inputs), results[node]):
            raise SpaceError(
                f"{reading.where(node)} gives other values here than in the network: is a tensor written in place "
                "that is read again?"
            )
    raise SpaceError("the network as it was read gives other values than the network itself")


def _run(graph: LayerGraph, state: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    with torch.device("meta"):
        model = compile_graph(graph).eval()
    model.load_state_dict({name: state[name] for name in model.state_dict()}, assign=True)
    with torch.inference_mode():
        outputs: torch.Tensor = model(inputs.clone())
    return outputs


def _close(ours: torch.Tensor, theirs: Any) -> bool:
    if not isinstance(theirs, torch.Tensor) or ours.shape != theirs.shape:
        return False
    scale = max(1.0, float(theirs.abs().max())) if theirs.numel() else 1.0
    return bool(torch.allclose(ours, theirs.to(ours.dtype), rtol=0, atol=TOLERANCE * scale, equal_nan=True))


def _flat(values: Any) -> list[Any]:
    if isinstance(values, Mapping):
        return _flat(list(values.values()))
    if isinstance(values, (list, tuple)) and not isinstance(values, Tensor):
        return [item for value in values for item in _flat(value)]
    return [values]


def _first_line(error: Exception) -> str:
    """What an error says, without the traces that torch adds to it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _name(node: fx.Node) -> str:
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    return name.rpartition(".")[2]


def _owner(node: fx.Node) -> str:
    """The path of the module whose `forward` makes this step."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _place(path: str) -> str:
    """Where a module lives in the graph: its path, of which no first part is taken by torch or the input."""
    if not path:
        return ""
    first, *rest = path.split(".")
    if first == INPUT or hasattr(fx.GraphModule, first):
        first += "_"
    return "/".join([first, *rest])
