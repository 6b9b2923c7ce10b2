"""A module wired by a graph of torch's own functions, said as JSON and made again from it, without foreign code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from netwright.core.errors import CheckpointError, CompressionError

GRAPH = "graph"
_TORCH = """
abs add amax bmm cat chunk clamp concat div eq flatten ge gt le lt matmul maximum mean minimum mul narrow ne neg
ones_like permute relu reshape round rsqrt sigmoid sign softmax split sqrt squeeze stack sub sum tanh transpose
unflatten unsqueeze where zeros_like
""".split()  # noqa: SIM905 -- one can read it
_FUNCTIONAL = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d avg_pool1d avg_pool2d elu gelu hardsigmoid hardswish
hardtanh interpolate leaky_relu log_softmax max_pool1d max_pool2d mish pad pixel_shuffle relu relu6 selu sigmoid silu
softmax softplus tanh
""".split()  # noqa: SIM905 -- as above
_OPERATOR = "add sub mul truediv getitem neg iadd isub imul".split()  # noqa: SIM905 -- as above
METHODS = frozenset(
    """
abs add add_ chunk clamp contiguous detach div expand flatten mean mul mul_ narrow neg new_zeros permute relu relu_
reshape sigmoid sign size softmax split squeeze sub sum tanh transpose unflatten unsqueeze view
""".split()  # noqa: SIM905 -- as above
)
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{f"torch.{name}": getattr(torch, name) for name in _TORCH},
    **{f"functional.{name}": getattr(functional, name) for name in _FUNCTIONAL},
    **{f"operator.{name}": getattr(operator, name) for name in _OPERATOR},
}
"""The functions that a graph may call."""
_NAMES = {function: name for name, function in FUNCTIONS.items()}
_PATH = re.compile(r'[^."\\\x00-\x1f\x7f]+(\.[^."\\\x00-\x1f\x7f]+)*')
"""Layers may be called as one likes, such as by the edge of a cell; but torch.fx writes names into code, in quotes."""
_OPERATIONS = frozenset({"placeholder", "get_attr", "call_function", "call_method", "call_module", "output"})
_LARGEST = 1 << 24

Spec = dict[str, Any]


def graph_spec(module: fx.GraphModule, *, layer_spec: Callable[[nn.Module, str], Spec], path: str) -> Spec:
    """`{"type": "graph", "layers": {path: spec}, "tensors": {path: shape}, "steps": [...]}`.

    `layer_spec` says the layers that it calls. Raises CompressionError when a function or an argument cannot be said.
    """
    layers: dict[str, Spec] = {}
    tensors: dict[str, list[int]] = {}
    steps = []
    for node in module.graph.nodes:
        target = str(node.target)
        if node.op == "call_module" and target not in layers:
            layers[target] = layer_spec(module.get_submodule(target), f"{path}.{target}" if path else target)
        elif node.op == "get_attr":
            tensors[target] = list(_parameter(module, target, path).shape)
        elif node.op == "call_function":
            if node.target not in _NAMES:
                target = getattr(node.target, "__name__", target)
                raise CompressionError(f"{path or 'the network'} calls {target}, which a patch cannot say")
            target = _NAMES[node.target]
        elif node.op == "call_method" and target not in METHODS:
            raise CompressionError(f"{path or 'the network'} calls the method {target}, which a patch cannot say")
        given = {name: _said(value) for name, value in node.kwargs.items()}
        steps.append([node.op, node.name, target, [_said(value) for value in node.args], given])
    return {"type": GRAPH, "layers": layers, "tensors": tensors, "steps": steps}


def _parameter(module: nn.Module, target: str, path: str) -> nn.Parameter:
    holder, _, name = target.rpartition(".")
    found = getattr(module.get_submodule(holder), name)
    if not isinstance(found, nn.Parameter) or found.dtype != torch.float32:
        raise CompressionError(f"{path or 'the network'} reads {target}, which a patch cannot say")
    return found


def _said(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"of": value.name}
    if isinstance(value, tuple):
        return [_said(one) for one in value]
    if isinstance(value, list):
        return {"list": [_said(one) for one in value]}
    if isinstance(value, slice):
        return {"slice": [_said(one) for one in (value.start, value.stop, value.step)]}
    if isinstance(value, (bool, float, str)) or value is None or (isinstance(value, int) and abs(value) <= _LARGEST):
        return value
    raise CompressionError(f"an argument of type {type(value).__name__} cannot be written to a patch")


def build_graph(spec: Spec, path: str, *, build_layer: Callable[[object, str], nn.Module]) -> fx.GraphModule:
    """The module that `graph_spec` told of; raises CheckpointError for what it may not be."""
    layers, tensors, steps = spec.get("layers"), spec.get("tensors"), spec.get("steps")
    if not isinstance(layers, dict) or not isinstance(tensors, dict) or not isinstance(steps, list) or len(spec) != 4:
        raise CheckpointError(f"the patch of {path!r} is damaged: expected 'layers', 'tensors' and 'steps'")
    root = nn.Module()
    for name, layer in layers.items():
        _place(root, name, build_layer(layer, f"{path}.{name}"), path)
    for name, shape in tensors.items():
        if not isinstance(shape, list) or not all(type(one) is int and 0 < one <= _LARGEST for one in shape):
            raise CheckpointError(f"the patch of {path!r} has a tensor of shape {shape!r}")
        _place(root, name, nn.Parameter(torch.zeros(shape)), path)
    graph = fx.Graph()
    values: dict[str, fx.Node] = {}
    for step in steps:
        _add(graph, step, values, {*layers, *tensors}, path)
    try:
        graph.lint()
        return fx.GraphModule(root, graph)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"the patch of {path!r} makes no module: {error}") from None


def _place(root: nn.Module, name: str, made: nn.Module | nn.Parameter, path: str) -> None:
    if not _PATH.fullmatch(name):
        raise CheckpointError(f"the patch of {path!r} has a layer of the name {name!r}")
    *parents, leaf = name.split(".")
    holder = root
    for parent in parents:
        if parent not in holder._modules:
            holder.add_module(parent, nn.Module())
        holder = holder.get_submodule(parent)
        if type(holder) is not nn.Module:
            raise CheckpointError(f"the patch of {path!r} has {name!r} inside another layer")
    if hasattr(holder, leaf):
        raise CheckpointError(f"the patch of {path!r} has {name!r} twice")
    if isinstance(made, nn.Parameter):
        holder.register_parameter(leaf, made)
    else:
        holder.add_module(leaf, made)


def _add(graph: fx.Graph, step: object, values: dict[str, fx.Node], owned: set[str], path: str) -> None:
    """One more step of a graph; `owned` are the names of its layers and tensors."""
    refused = CheckpointError(f"the patch of {path!r} has a step that it may not: {str(step)[:200]}")
    if not isinstance(step, list) or len(step) != 5:
        raise refused
    operation, name, target, positional, named = step
    texts = all(isinstance(one, str) for one in (operation, name, target))
    if not texts or operation not in _OPERATIONS or not name.isidentifier() or name in values:
        raise refused
    allowed = {
        "placeholder": target.isidentifier() and not values,
        "get_attr": target in owned,
        "call_module": target in owned,
        "call_function": target in FUNCTIONS,
        "call_method": target in METHODS,
        "output": target == "output",
    }
    whole = isinstance(positional, list) and isinstance(named, dict) and all(map(str.isidentifier, named))
    if not allowed[operation] or not whole:
        raise refused
    try:
        given = tuple(_meant(value, values, depth=0) for value in positional)
        chosen = {key: _meant(value, values, depth=0) for key, value in named.items()}
    except (KeyError, ValueError):
        raise refused from None
    called: Any = FUNCTIONS[target] if operation == "call_function" else target
    values[name] = graph.create_node(operation, called, given, chosen, name=name)


def _meant(value: Any, values: Mapping[str, fx.Node], *, depth: int) -> Any:
    """An argument; raises KeyError or ValueError for any that may not be."""
    if isinstance(value, dict) and len(value) == 1 and depth <= 8:
        if isinstance(value.get("of"), str):
            return values[value["of"]]
        if isinstance(value.get("list"), list):
            return [_meant(one, values, depth=depth + 1) for one in value["list"]]
        if isinstance(value.get("slice"), list) and len(value["slice"]) == 3:
            return slice(*(_meant(one, values, depth=depth + 1) for one in value["slice"]))
    if isinstance(value, list) and depth <= 8:
        return tuple(_meant(one, values, depth=depth + 1) for one in value)
    if isinstance(value, (bool, float)) or value is None:
        return value
    if abs(value) <= _LARGEST if isinstance(value, int) else isinstance(value, str) and len(value) < 64:
        return value
    raise ValueError(value)
