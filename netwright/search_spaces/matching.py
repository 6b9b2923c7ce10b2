"""Tensors of different shapes brought together: for skip connections and merged branches at any input size."""

from __future__ import annotations

from typing import Literal

from netwright.core.errors import ShapeError
from netwright.search_spaces.graph import GraphBuilder, Tensor
from netwright.search_spaces.operation import Operation
from netwright.search_spaces.operations.adaptive_pool2d import AdaptivePool2d
from netwright.search_spaces.operations.add import Add
from netwright.search_spaces.operations.batch_norm import BatchNorm
from netwright.search_spaces.operations.concat import Concat
from netwright.search_spaces.operations.conv2d import Conv2d
from netwright.search_spaces.operations.linear import Linear
from netwright.search_spaces.operations.resize import Resize


def merge(
    net: GraphBuilder,
    *tensors: Tensor,
    how: Literal["sum", "concat"] = "sum",
    name: str = "merge",
    any_order: bool = False,
) -> Tensor:
    """Several tensors as one: their sum, or side by side, whatever their shapes.

    All take the height and width of the last one, for a sum its channels too; see `match`. `any_order` is that of
    `Concat`. Raises ShapeError when some are images and others are not.
    """
    like = tensors[-1]
    fitted = []
    for number, tensor in enumerate(tensors[:-1], start=1):
        channels = 0 if how == "sum" else tensor.shape[0 if len(tensor.shape) == 3 else -1]
        with net.scope(f"{name}{number}"):
            fitted.append(match(net, tensor, like, channels=channels))
    operation = Add() if how == "sum" else Concat(features_last=len(like.shape) == 2, any_order=any_order)
    return net.add(operation, *fitted, like, name=name)


def match(net: GraphBuilder, tensor: Tensor, like: Tensor, *, channels: int = 0) -> Tensor:
    """A tensor brought to the shape of another; `channels` keeps a number of its own (0: the other's).

    Images: other channels by a 1x1 convolution with normalisation, with a stride where that gives the size,
    else the mean of evenly spread windows (smaller) or the nearest place (larger). Sequences and vectors:
    other features by a linear layer; their length in time has to be equal. What fits is left alone.
    """
    if len(tensor.shape) != len(like.shape):
        raise ShapeError(f"nothing brings the shape {tensor.shape} to {like.shape}: flatten or pool one of them first")
    if len(tensor.shape) != 3:
        if tensor.shape[:-1] != like.shape[:-1]:
            raise ShapeError(f"a sequence of {tensor.shape[0]} steps does not go together with one of {like.shape[0]}")
        features = channels or like.shape[-1]
        return tensor if features == tensor.shape[-1] else net.add(Linear(features=features), tensor)
    return net.chain(tensor, *_image_steps(tensor, like, channels or like.shape[0]))


def _image_steps(tensor: Tensor, like: Tensor, filters: int) -> list[Operation]:
    size = like.shape[1:]
    stride = max(1, round(tensor.shape[1] / size[0]))
    strided = tuple(-(-length // stride) for length in tensor.shape[1:]) == size
    steps: list[Operation] = []
    if filters != tensor.shape[0]:
        steps = [Conv2d(filters=filters, kernel=1, stride=stride if strided else 1), BatchNorm()]
        if strided:
            return steps
    if tensor.shape[1:] == size:
        return steps
    shrinks = all(a >= b for a, b in zip(tensor.shape[1:], size, strict=True))
    # shrink first and grow last: the convolution then runs on the smaller image
    return [AdaptivePool2d(size=size), *steps] if shrinks else [*steps, Resize(size=size)]
