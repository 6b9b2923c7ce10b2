"""What a traced step is called and where it is, and its values, nested as in a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from netwright.core.shapes import Shape
from netwright.search_spaces.graph import INPUT, Tensor
from netwright.search_spaces.model_layers import expect
from netwright.search_spaces.model_tracing import BATCH
from netwright.search_spaces.outline import RESERVED

CLOSE = 1e-5


def shape_of(result: torch.Tensor, parts: int = 1) -> Shape:
    """The shape of one sample, or of one of so many parts of it."""
    batched = result.dim() > 0 and len(result) in (BATCH, BATCH * parts)
    expect(batched, "a result whose first axis is that of the samples: what joins or moves it cannot be searched")
    return tuple(result.shape[1:])


def close(ours: torch.Tensor, theirs: Any) -> bool:
    """Whether two tensors hold the same values."""
    if not isinstance(theirs, torch.Tensor) or ours.shape != theirs.shape:
        return False
    if theirs.dtype == torch.bool:
        return torch.equal(ours, theirs)
    scale = max(1.0, float(theirs.abs().max())) if theirs.numel() else 1.0
    return bool(torch.allclose(ours, theirs.to(ours.dtype), rtol=0, atol=CLOSE * scale, equal_nan=True))


def mapped(values: Any, change: Any) -> Any:
    """The values of a call, each changed."""
    if isinstance(values, Mapping):
        return {key: mapped(value, change) for key, value in values.items()}
    if isinstance(values, (list, tuple)) and not isinstance(values, Tensor):
        return tuple(mapped(value, change) for value in values)
    return change(values)


def flat(values: Any) -> list[Any]:
    """The values of a call in a row."""
    if isinstance(values, Mapping):
        return flat(list(values.values()))
    if isinstance(values, (list, tuple)) and not isinstance(values, Tensor):
        return [item for value in values for item in flat(value)]
    return [values]


def name_of(node: fx.Node) -> str:
    """The name of the function or method that is called."""
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    return name.rpartition(".")[2]


def owner_of(node: fx.Node) -> str:
    """The path of the module whose `forward` makes this step."""
    if node.op == "call_module":
        return str(node.target).rpartition(".")[0]
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def place_of(path: str) -> str:
    """Where a module lives in the graph: its path, of which no first part is taken by torch or the input."""
    if not path:
        return ""
    first, *rest = (f"{part}_" if part in RESERVED else part for part in path.split("."))
    if first == INPUT or hasattr(fx.GraphModule, first):
        first += "_"
    return "/".join([first, *rest])
