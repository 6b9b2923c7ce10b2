"""Attention of torch, and what is written around it, as operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional

from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_layers import expect
from netwright.search_spaces.model_layouts import tensor_of
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


def attends_to_itself(layer: nn.MultiheadAttention, arguments: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether a call is `layer(x, x, x)` of a layer with torch's settings, which is one operation."""
    query, key, value = (*arguments, *(named.get(name) for name in ("query", "key", "value")[len(arguments) :]))[:3]
    masked = len(arguments) > 3 or any(named.get(name) is not None for name in ("key_padding_mask", "attn_mask"))
    plain = layer.in_proj_weight is not None and layer.in_proj_bias is not None and layer.bias_k is None
    return query is key is value and not masked and plain and not layer.add_zero_attn


def attention(layer: nn.MultiheadAttention, path: str, x: Any, put: Put) -> Tensor:
    """What a layer of attention gives for a sequence that attends to itself."""
    in_order = layer.batch_first == isinstance(x, Tensor)
    expect(in_order, "attention with batch_first=True, or one that reads (time, samples, features)")
    state = {
        "qkv.weight": layer.in_proj_weight,
        "qkv.bias": layer.in_proj_bias,
        "out.weight": layer.out_proj.weight,
        "out.bias": layer.out_proj.bias,
    }
    return put(path, SelfAttention(width=layer.embed_dim, heads=layer.num_heads), [tensor_of(x)], state)


def attended(
    layer: nn.MultiheadAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_padding_mask: torch.Tensor | None = None,
    need_weights: bool = True,
    attn_mask: torch.Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The same as calling the layer at inference, in functions of torch one by one."""
    del is_causal  # says only of what form the mask is
    width, last = layer.embed_dim, layer.batch_first
    given = [x if last else x.transpose(0, 1) for x in (query, key, value)]
    alike = layer.in_proj_weight is not None
    weights = (
        [layer.in_proj_weight[i * width : (i + 1) * width] for i in range(3)]
        if alike
        else [layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight]
    )
    biases = [None if layer.in_proj_bias is None else layer.in_proj_bias[i * width : (i + 1) * width] for i in range(3)]
    projected = [functional.linear(*each) for each in zip(given, weights, biases, strict=True)]
    own = [(1, layer.bias_k), (2, layer.bias_v)] if layer.bias_k is not None and layer.bias_v is not None else []
    for number, learned in own:  # one more step after the others
        projected[number] = torch.cat([projected[number], learned.expand(len(given[0]), -1, -1)], 1)
    if layer.add_zero_attn:
        projected[1:] = [functional.pad(x, (0, 0, 0, 1)) for x in projected[1:]]
    more = bool(own) + layer.add_zero_attn
    q, k, v = (torch.unflatten(x, 2, (layer.num_heads, layer.head_dim)).transpose(1, 2) for x in projected)
    scores = q @ k.transpose(2, 3) / math.sqrt(layer.head_dim)
    if attn_mask is not None:
        mask = attn_mask if attn_mask.dim() == 2 else torch.unflatten(attn_mask, 0, (-1, layer.num_heads))
        scores = scores + functional.pad(_added(mask), (0, more))
    if key_padding_mask is not None:
        scores = scores + functional.pad(_added(key_padding_mask), (0, more)).unsqueeze(1).unsqueeze(1)
    shares = scores.softmax(-1)
    found = functional.linear((shares @ v).transpose(1, 2).flatten(2), layer.out_proj.weight, layer.out_proj.bias)
    shares = shares.mean(1) if average_attn_weights else shares
    return found if last else found.transpose(0, 1), shares if need_weights else None


def _added(mask: torch.Tensor) -> torch.Tensor:
    """What a mask adds to the scores: true is left out."""
    return mask if mask.is_floating_point() else torch.where(mask, -math.inf, 0.0)
