"""Attention of torch, and what is written around it, as operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn

from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_layers import expect
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.class_token import ClassToken
from netwright.search_spaces.operations.layer_norm import LayerNorm
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.positions import Positions
from netwright.search_spaces.operations.self_attention import SelfAttention

State: TypeAlias = Mapping[str, torch.Tensor]
Put: TypeAlias = Callable[[str, Operation, Sequence[Tensor], State], Tensor]
"""Adds an operation: its path, itself, what it reads, its weights."""
WEIGHTED = {
    "linear": ("input", "weight", "bias"),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
}
"""Functions that are operations when their weights are parameters."""


def with_parameter(
    name: str, arguments: Sequence[Any], named: Mapping[str, Any]
) -> tuple[Operation, Tensor, State] | None:
    """An operation whose weights are parameters that `forward` names itself; None when the call is no such.

    Gives the operation, what it reads, and its weights.
    """
    if name in WEIGHTED:
        given = dict(zip(WEIGHTED[name], arguments, strict=False)) | dict(named)
        state = {key: given[key] for key in ("weight", "bias") if given.get(key) is not None}
        known = "weight" in state and all(isinstance(weight, nn.Parameter) for weight in state.values())
        return _weighted(name, given, state) if known and isinstance(given["input"], Tensor) else None
    summed = name.rstrip("_") in ("add", "iadd")
    values = arguments if summed else arguments[0]
    if not isinstance(values, (list, tuple)) or isinstance(values, Tensor) or len(values) != 2:
        return None
    learned = [isinstance(value, nn.Parameter) for value in values]
    x, weight = (values[learned.index(wanted)] if wanted in learned else None for wanted in (False, True))
    if not isinstance(x, Tensor) or not isinstance(weight, nn.Parameter) or len(x.shape) != 2:
        return None
    if summed and weight.numel() == x.shape[0] * x.shape[1] and tuple(weight.shape[-2:]) == x.shape:
        return Positions(), x, {"positions": weight.reshape(x.shape)}
    if name in ("cat", "concat") and learned[0] and tuple(weight.shape) == (1, 1, x.shape[1]):
        return ClassToken(), x, {"token": weight[0, 0]}
    return None


def _weighted(name: str, given: Mapping[str, Any], state: State) -> tuple[Operation, Tensor, State] | None:
    x = given["input"]
    if name == "linear":
        return Linear(features=len(state["weight"]), bias="bias" in state), x, state
    last_alone = tuple(given["normalized_shape"]) == x.shape[-1:] and len(state) == 2
    return (LayerNorm(epsilon=given.get("eps", 1e-5)), x, state) if last_alone else None


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
