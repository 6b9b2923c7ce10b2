"""Transformer layers of torch, and what is written around them, as operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import fx, nn
from torch.nn import functional

from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_layers import dropout, expect, layer_operation
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.activation import Activation
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.class_token import ClassToken
from netwright.search_spaces.operations.positions import Positions
from netwright.search_spaces.operations.self_attention import SelfAttention

State: TypeAlias = Mapping[str, torch.Tensor]
Put: TypeAlias = Callable[[str, Operation, Sequence[Tensor], State], Tensor]
"""Adds an operation: its path, itself, what it reads, its weights."""
VIEWS = ("expand", "repeat", "unsqueeze", "contiguous", "to", "getitem")
TURNED = ([1, 2], [-1, -2], [2, 1], [-2, -1], [0, 2, 1])
"""Arguments of transpose and permute that swap the axes of a sequence."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A sequence as (features, time), of which the tensor is (time, features)."""

    tensor: Tensor


def is_flattened(name: str, arguments: Sequence[Any]) -> bool:
    """Whether a call makes one axis of an image's height and width."""
    source = arguments[0] if arguments else None
    image = name == "flatten" and isinstance(source, Tensor) and len(source.shape) == 3
    return image and _numbers(arguments[1:]) in ([2], [2, -1], [2, 3])


def turned_back(name: str, arguments: Sequence[Any]) -> Tensor | None:
    """A flattened image as a sequence; None when the call is about something else."""
    source = arguments[0] if arguments else None
    if not isinstance(source, Turned):
        return None
    back = name in ("transpose", "permute") and _numbers(arguments[1:]) in TURNED
    expect(back, "the channels of a flattened image as the last axis, by transpose(1, 2)")
    return source.tensor


def _numbers(arguments: Sequence[Any]) -> list[Any]:
    """Numbers that are given one by one or as a tuple."""
    return [item for part in arguments for item in (part if isinstance(part, (tuple, list)) else [part])]


def with_parameter(node: fx.Node, arguments: Sequence[Any]) -> tuple[Operation, Tensor, State] | None:
    """Learned positions that are added, or a learned first step; None when the call is neither.

    Gives the operation, what it reads, and its weights.
    """
    name = str(getattr(node.target, "__name__", node.target)).rstrip("_")
    if name in ("add", "iadd") and len(arguments) == 2:
        nodes, values = list(node.args), list(arguments)
    elif name in ("cat", "concat") and isinstance(arguments[0], (list, tuple)) and len(arguments[0]) == 2:
        nodes, values = list(node.args[0]), list(arguments[0])  # type: ignore[arg-type]  # as the values are
    else:
        return None
    learned = [isinstance(part, fx.Node) and _parameter(part) for part in nodes]
    if sum(learned) != 1:
        return None
    weight, x = values[learned.index(True)], values[learned.index(False)]
    if not isinstance(x, Tensor) or not isinstance(weight, torch.Tensor):
        return None
    if name in ("add", "iadd"):
        expect(tuple(weight.shape[-2:]) == x.shape and weight.numel() == x.shape[0] * x.shape[-1], "learned positions")
        return Positions(), x, {"positions": weight.reshape(x.shape)}
    first = learned[0] and weight.dim() == 3 and weight.shape[1] == 1
    expect(bool(first), "one learned step before a sequence")
    return ClassToken(), x, {"token": weight[0, 0]}


def transformer(module: nn.Module, path: str, x: Tensor, put: Put) -> Tensor:
    """The operations of a TransformerEncoder or of one of its layers."""
    if isinstance(module, nn.TransformerEncoder):
        for number, layer in enumerate(module.layers):
            x = transformer(layer, f"{path}/layers/{number}", x, put)
        return x if module.norm is None else _put_layer(module.norm, f"{path}/norm", x, put)
    assert isinstance(module, nn.TransformerEncoderLayer)
    if module.norm_first:
        x = put(f"{path}/add1", Add(), [x, _attended(module, path, _normed(module, 1, path, x, put), put)], {})
        return put(f"{path}/add2", Add(), [x, _neurons(module, path, _normed(module, 2, path, x, put), put)], {})
    x = put(f"{path}/add1", Add(), [x, _attended(module, path, x, put)], {})
    x = _normed(module, 1, path, x, put)
    x = put(f"{path}/add2", Add(), [x, _neurons(module, path, x, put)], {})
    return _normed(module, 2, path, x, put)


def _normed(layer: nn.TransformerEncoderLayer, number: int, path: str, x: Tensor, put: Put) -> Tensor:
    return _put_layer(layer.get_submodule(f"norm{number}"), f"{path}/norm{number}", x, put)


def attention(
    layer: nn.MultiheadAttention, path: str, arguments: Sequence[Any], named: Mapping[str, Any], put: Put
) -> Tensor:
    """What a layer of torch's attention gives when it is called as `layer(x, x, x)`."""
    given = dict(zip(("query", "key", "value"), arguments, strict=False)) | dict(named)
    x = given.get("query")
    alike = isinstance(x, Tensor) and x == given.get("key") == given.get("value")
    expect(alike and len(arguments) <= 3, "attention of a sequence to itself, called with it three times")
    masks = [name for name in ("key_padding_mask", "attn_mask") if given.get(name) is not None]
    expect(not masks and not given.get("is_causal"), "attention without masks")
    assert isinstance(x, Tensor)
    return _attention(layer, path, x, put)


def _attention(layer: nn.MultiheadAttention, path: str, x: Tensor, put: Put) -> Tensor:
    expect(layer.batch_first, "attention with batch_first=True")
    plain = layer.in_proj_bias is not None and layer.bias_k is None and not layer.add_zero_attn
    expect(plain and layer.in_proj_weight is not None, "attention with biases, of values as wide as its keys")
    state = {
        "qkv.weight": layer.in_proj_weight,
        "qkv.bias": layer.in_proj_bias,
        "out.weight": layer.out_proj.weight,
        "out.bias": layer.out_proj.bias,
    }
    return put(path, SelfAttention(width=layer.embed_dim, heads=layer.num_heads), [x], state)


def _attended(layer: nn.TransformerEncoderLayer, path: str, x: Tensor, put: Put) -> Tensor:
    y = _attention(layer.self_attn, f"{path}/self_attn", x, put)
    return _put_layer(layer.dropout1, f"{path}/dropout1", y, put)


def _neurons(layer: nn.TransformerEncoderLayer, path: str, x: Tensor, put: Put) -> Tensor:
    kinds = {functional.relu: "relu", functional.gelu: "gelu"}
    activation: Any = layer.activation
    known = activation in kinds or isinstance(activation, (nn.ReLU, nn.GELU))
    expect(known, f"a transformer layer with relu or gelu, came {activation}")
    function = kinds.get(activation, "relu" if isinstance(activation, nn.ReLU) else "gelu")
    x = _put_layer(layer.linear1, f"{path}/linear1", x, put)
    x = put(f"{path}/activation", Activation(function=function), [x], {})
    x = put(f"{path}/dropout", dropout(layer.dropout.p), [x], {})
    x = _put_layer(layer.linear2, f"{path}/linear2", x, put)
    return _put_layer(layer.dropout2, f"{path}/dropout2", x, put)


def _put_layer(module: nn.Module, path: str, x: Tensor, put: Put) -> Tensor:
    operation = layer_operation(module)
    return x if operation is None else put(path, operation, [x], module.state_dict())


def _parameter(node: fx.Node) -> bool:
    """Whether a step gives a parameter, or a view of one."""
    while node.op == "call_method" or (node.op == "call_function" and node.all_input_nodes):
        name = str(getattr(node.target, "__name__", node.target))
        if name not in VIEWS or not isinstance(node.args[0], fx.Node):
            return False
        node = node.args[0]
    if node.op != "get_attr":
        return False
    found: Any = node.graph.owning_module
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return isinstance(found, nn.Parameter)
