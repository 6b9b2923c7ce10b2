"""Any function of torch in a user's `forward` as an operation, which says by trying it what it does to channels."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import fx
from torch.nn import functional

from netwright.core.shapes import Shape
from netwright.search_spaces.channels import channel_axis
from netwright.search_spaces.graph import Tensor
from netwright.search_spaces.model_layers import UnreadableError, expect
from netwright.search_spaces.model_parts import Sized
from netwright.search_spaces.model_tracing import BATCH
from netwright.search_spaces.operations.torch_call import OPERATORS, TorchCall, resolved
from netwright.search_spaces.products import product_counter

Item: TypeAlias = int | Literal["all"] | None
PER_SAMPLE = "per_sample"
"""Set on a constant of one row that the network repeats for each sample."""


PER_SAMPLE_SECOND = "per_sample_second"
"""Set on a constant (steps, 1, features) that the network repeats for each sample, which is its second axis."""

MADE_BY = "made_by"
"""Set on what `forward` makes of parameters: the function, its arguments and named ones."""


class Samples:
    """Stands for the number of samples in a batch, where a size is written in an argument."""


SAMPLES = Samples()


@dataclass(frozen=True, slots=True)
class Several:
    """What a function gives that gives several tensors; each is taken by calling it for that one.

    Where calling costs something they are made once, as `beside`: one beside the other, so many of them.
    """

    function: str
    arguments: Sequence[Any]
    named: Mapping[str, Any]
    beside: Tensor | None = None
    count: int = 1

    def taken(self, name: str, index: Any) -> int:
        """Which one an index or a name such as `values` takes."""
        if name == "getattr":
            index = {"values": 0, "indices": 1}.get(index, index)
        expect(name in ("getitem", "getattr") and isinstance(index, int), "one of the results, by its number")
        return int(index)


@dataclass(frozen=True, slots=True)
class Written:
    """A call as an operation, with the tensors that it reads and its weights."""

    operation: TorchCall
    tensors: Sequence[Tensor]
    weights: Sequence[torch.Tensor]


def function_name(node: fx.Node) -> str:
    """The name by which an operation finds the function that a step calls; not the one that writes in place."""
    target: Any = node.target
    if node.op == "call_method":
        name = str(target)
        return f"method.{name.rstrip('_') if hasattr(torch.Tensor, name.rstrip('_')) else name}"
    name = str(getattr(target, "__name__", target))
    if getattr(operator, name, None) is target:
        plain = name if name in OPERATORS else name[1:]  # iadd is add in place
        expect(plain in OPERATORS, f"an operator of numbers, came {name}")
        return f"operator.{plain}"
    for home, kind in ((torch, "torch"), (functional, "functional")):
        if getattr(home, name, None) is target:
            return f"{kind}.{name.rstrip('_') if hasattr(home, name.rstrip('_')) else name}"
    raise UnreadableError(f"expected a function of torch, came {name} of {getattr(target, '__module__', None)}")


def written(function: str, arguments: Any, named: Any, after: Shape, *, item: Item = None) -> Written:
    """The operation that a call of a function is."""
    tensors: list[Tensor] = []
    weights: list[torch.Tensor] = []
    said = json.dumps([_said(list(arguments), tensors, weights), _said(dict(named), tensors, weights)])
    try:
        resolved(function)
    except Exception as error:
        raise UnreadableError(str(error)) from None
    operation = TorchCall(
        function=function,
        arguments=said,
        before=tuple(tensor.shape for tensor in tensors),
        after=after,
        weights=tuple(tuple(weight.shape) for weight in weights),
        constants=tuple(i for i, weight in enumerate(weights) if not isinstance(weight, torch.nn.Parameter)),
        item=item,
    )
    detached = [weight.detach() for weight in weights]
    return Written(_with_channels(_with_macs(operation, detached), detached), tensors, detached)


def _said(value: Any, tensors: list[Tensor], weights: list[torch.Tensor]) -> Any:
    """An argument as JSON, with marks for what is no plain value."""
    if isinstance(value, Tensor):
        if value not in tensors:
            tensors.append(value)
        return {"input": tensors.index(value)}
    if isinstance(value, torch.Tensor):
        return _said_constant(value, tensors, weights)
    if isinstance(value, Samples):
        return {"batch": 1}
    if isinstance(value, Sized):
        raise UnreadableError(value.text)
    if isinstance(value, slice):
        return {"slice": [_said(part, tensors, weights) for part in (value.start, value.stop, value.step)]}
    if value is ...:
        return {"ellipsis": 1}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, Mapping):
        return {str(key): _said(part, tensors, weights) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_said(part, tensors, weights) for part in value]
    expect(value is None or isinstance(value, (bool, int, float, str)), f"plain arguments, came {value!r:.60}")
    return value


def _said_constant(value: torch.Tensor, tensors: list[Tensor], weights: list[torch.Tensor]) -> Any:
    """A tensor that does not depend on the input: a number, what is made of weights, or one of the weights."""
    if value.dim() == 0 and not isinstance(value, torch.nn.Parameter):
        return value.item()
    if hasattr(value, MADE_BY):
        function, *given = getattr(value, MADE_BY)
        return {"call": [function, *(_said(part, tensors, weights) for part in given)]}
    weights.append(value)
    return {"repeated" if getattr(value, PER_SAMPLE, False) else "weight": len(weights) - 1}


def _with_macs(operation: TorchCall, weights: Sequence[torch.Tensor]) -> TorchCall:
    inputs = [torch.empty(BATCH, *shape, device="meta") for shape in operation.before]
    counter = product_counter()
    try:
        with counter, torch.no_grad():
            operation.run(inputs, [weight.to("meta") for weight in weights])
    except (RuntimeError, IndexError, TypeError):
        return operation  # it takes whole numbers, such as an embedding: nothing to multiply
    return operation.model_copy(update={"macs_as_read": counter.get_total_flops() // 2 // BATCH})


def _with_channels(operation: TorchCall, weights: Sequence[torch.Tensor]) -> TorchCall:
    """The operation with its rule for channels: by itself each, when a part of them gives that part of the result."""
    before, after = operation.before, operation.after
    sizes = {shape[channel_axis(shape)] for shape in before if shape}
    whole = max(sizes, default=0)
    if whole < 2 or not after or after[channel_axis(after)] != whole or sizes - {1, whole}:
        return operation
    axes = tuple(_weight_axis(weight, before, whole) for weight in weights)
    generator = torch.Generator().manual_seed(0)
    # a number for each sample may be where in the others something is taken
    inputs = [torch.rand(BATCH, *s, generator=generator) if s else torch.ones(BATCH, dtype=torch.long) for s in before]
    kept = torch.randperm(whole, generator=generator)[: (whole + 1) // 2].sort().values
    try:
        with torch.no_grad():
            full = operation.run(inputs, weights)
            fewer = operation.run(
                [
                    _part(x, channel_axis(shape) + 1, kept, whole) if shape else x
                    for x, shape in zip(inputs, before, strict=True)
                ],
                [w if axis is None else w.index_select(axis, kept) for w, axis in zip(weights, axes, strict=True)],
            )
    except (RuntimeError, IndexError, TypeError, ValueError):
        return operation
    expected = full.index_select(channel_axis(after) + 1, kept)
    if fewer.shape != expected.shape or not torch.allclose(fewer.float(), expected.float(), atol=1e-5, equal_nan=True):
        return operation
    return operation.model_copy(update={"channel_wise": True, "weight_axes": axes})


def _weight_axis(weight: torch.Tensor, before: Sequence[Shape], whole: int) -> int | None:
    """Which axis of a weight is the channels', as broadcasting has it, else the first one of their number."""
    shape = max(before, key=len)
    axis = weight.dim() - (len(shape) - channel_axis(shape))
    if 0 <= axis < weight.dim() and weight.shape[axis] == whole:
        return axis
    return list(weight.shape).index(whole) if whole in weight.shape else None


def _part(value: torch.Tensor, axis: int, kept: torch.Tensor, whole: int) -> torch.Tensor:
    return value.index_select(axis, kept) if value.shape[axis] == whole else value
