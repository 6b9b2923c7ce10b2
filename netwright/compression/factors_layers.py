"""Thin layers in a row that stand for one: built from matrices, with everything else of the layer kept."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netwright.compression.factors_calls import CONVOLUTIONS
from netwright.compression.factors_matrices import Weights, as_matrix, weights_of

Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def truncated(matrix: Matrix, rank: int) -> tuple[Matrix, Matrix, float]:
    """Left [..., rows, rank] and right [..., rank, columns] factors by SVD, of equal size, and the relative error."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[..., :rank])
    error = np.linalg.norm(values[..., rank:]) / (np.linalg.norm(values) + 1e-30)
    return left[..., :rank] * root[..., None, :], root[..., None] * right[..., :rank, :], float(error)


def values_of(layer: nn.Module, weights: Weights | None = None) -> Matrix:
    """Weights of a layer, by default the only ones, in double precision and as `Weights.of` gives them."""
    return np.asarray((weights or Weights()).of(layer).double().cpu().numpy())


def linear(layer: nn.Linear, rank: int) -> tuple[nn.Sequential, float]:
    """Two Linear layers."""
    outer, inner, error = truncated(values_of(layer), rank)
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    fill(first, inner)
    fill(second, outer)
    keep_bias(second, layer)
    return nn.Sequential(first, second), error


def pointwise(layer: _ConvNd, rank: int) -> tuple[nn.Sequential, float]:
    """Two 1×1 convolutions, of which the first, that has the fewer outputs, keeps the layer's stride and border."""
    weight = values_of(layer)
    outer, inner, error = truncated(weight.reshape(weight.shape[:3]), rank)
    middle = rank * layer.groups
    first, last = part(layer, layer.in_channels, middle), _mixing(layer, middle, layer.out_channels, last=True)
    fill(first, inner)
    fill(last, outer)
    keep_bias(last, layer)
    return nn.Sequential(first, last), error


def recurrent(layer: nn.RNNBase, ranks: Sequence[int], inside: Mapping[str, int]) -> tuple[nn.Module, float]:
    """A recurrent layer whose weights `inside` are of lower ranks.

    With a rank for its input weights it has fewer inputs, and a Linear layer before it, which both directions share.
    """
    made = copy.deepcopy(layer)
    lost = whole = 0.0
    for name, rank in inside.items():
        weights = Weights((name,))
        outer, inner, error = truncated(values_of(layer, weights), rank)
        weights.put(made, torch.from_numpy(outer @ inner))
        size = float(weights.of(layer).double().square().sum())
        lost, whole = lost + error**2 * size, whole + size
    if not ranks:
        return made, float(np.sqrt(lost / (whole + 1e-30)))
    before = weights_of(layer)[0]
    outer, inner, error = truncated(values_of(layer, before), ranks[0])
    first = nn.Linear(layer.input_size, ranks[0], bias=False)
    fill(first, inner)
    for name, rows in zip(before.names, np.split(outer, len(before.names)), strict=True):
        setattr(made, name, nn.Parameter(torch.from_numpy(rows).to(getattr(layer, name))))
    made.input_size = ranks[0]
    size = float(before.of(layer).double().square().sum())
    return nn.Sequential(first, made), float(np.sqrt((lost + error**2 * size) / (whole + size + 1e-30)))


def spatial(layer: _ConvNd, rank: int) -> tuple[nn.Sequential, float]:
    """A convolution along the first axis, then one along the others: k×1 and 1×k, or of one axis k and 1.

    Jaderberg, Vedaldi & Zisserman, BMVC 2014, solved by SVD; of channels in groups, in each by itself.
    """
    weight = torch.from_numpy(values_of(layer))
    groups, out, inner, high, *rest = weight.shape
    columns, lines, error = truncated(as_matrix(weight, "spatial").numpy(), rank)
    middle = rank * groups
    first = part(layer, layer.in_channels, middle, axes=(0,))
    second = part(layer, middle, layer.out_channels, axes=range(1, len(rest) + 1), bias=layer.bias is not None)
    fill(first, columns.reshape(groups, inner, high, rank).transpose(0, 3, 1, 2))
    fill(second, lines.reshape(groups, rank, out, -1).transpose(0, 2, 1, 3))
    keep_bias(second, layer)
    return nn.Sequential(first, second), error


def tucker(layer: _ConvNd, parts: Sequence[tuple[Matrix, Matrix, Matrix]]) -> tuple[nn.Sequential, float]:
    """A 1×1, the core at full kernel size, a 1×1: Kim et al., ICLR 2016.

    `parts` are a core [out rank, in rank, *kernel], and factors [out, rank] and [in, rank], of every group of channels.
    """
    cores, outers, inners = (np.stack(each) for each in zip(*parts, strict=True))
    out_rank, in_rank = layer.groups * cores.shape[1], layer.groups * cores.shape[2]
    first = _mixing(layer, layer.in_channels, in_rank)
    last = _mixing(layer, out_rank, layer.out_channels, last=True)
    middle = part(layer, in_rank, out_rank)
    fill(first, inners.transpose(0, 2, 1))
    fill(middle, cores)
    fill(last, outers)
    keep_bias(last, layer)
    rebuilt = np.einsum("gab...,goa,gib->goi...", cores, outers, inners)
    return nn.Sequential(first, middle, last), relative_error(rebuilt, values_of(layer))


def cp(layer: _ConvNd, factors: Sequence[Matrix]) -> tuple[nn.Sequential, float]:
    """1×1, each axis of the kernel on each channel alone, 1×1: Lebedev et al., ICLR 2015.

    `factors`: [out, rank], [in, rank], and [size, rank] of each axis of the kernel.
    """
    outer, inner, *kernel = factors
    rank = outer.shape[1]
    first, last = _mixing(layer, layer.in_channels, rank), _mixing(layer, rank, layer.out_channels, last=True)
    lines = [part(layer, rank, rank, axes=(axis,), groups=rank) for axis in range(len(kernel))]
    fill(first, inner.T)
    fill(last, outer)
    for line, values in zip(lines, kernel, strict=True):
        fill(line, values.T)
    keep_bias(last, layer)
    axes = "oihwd"[: len(factors)]
    rebuilt = np.einsum(",".join(f"{axis}r" for axis in axes) + f"->{axes}", *factors, optimize=True)
    return nn.Sequential(first, *lines, last), relative_error(rebuilt, values_of(layer)[0])


def part(
    layer: _ConvNd,
    inner: int,
    out: int,
    *,
    axes: Iterable[int] | None = None,
    groups: int | None = None,
    bias: bool = False,
) -> _ConvNd:
    """A convolution of the layer's kind, with its kernel, stride and border along some axes, by default along all."""
    count = len(layer.kernel_size)
    there = range(count) if axes is None else tuple(axes)

    def along(value: Any, other: int) -> Any:
        return value if isinstance(value, str) else tuple(value[i] if i in there else other for i in range(count))

    padding = {"output_padding": along(layer.output_padding, 0)} if layer.transposed else {}
    kind = next(kind for kind in CONVOLUTIONS if isinstance(layer, kind))
    return kind(
        inner,
        out,
        along(layer.kernel_size, 1),
        stride=along(layer.stride, 1),
        padding=along(layer.padding, 0),
        dilation=along(layer.dilation, 1),
        groups=groups or layer.groups,
        padding_mode=layer.padding_mode,
        bias=bias,
        **padding,
    )


def _mixing(layer: _ConvNd, inner: int, out: int, *, last: bool = False) -> _ConvNd:
    """The 1×1 convolution before what is left of a kernel, or the `last` one behind it, which has the layer's bias."""
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(layer.kernel_size) - 1]
    return kind(inner, out, 1, groups=layer.groups, bias=last and layer.bias is not None)


def relative_error(rebuilt: Matrix, weight: Matrix) -> float:
    """The relative Frobenius norm of the difference."""
    return float(np.linalg.norm(rebuilt - weight) / (np.linalg.norm(weight) + 1e-30))


def keep_bias(target: nn.Linear | _ConvNd, layer: nn.Linear | _ConvNd) -> None:
    """The layer's bias on the last of its factors."""
    if layer.bias is not None and target.bias is not None:
        with torch.no_grad():
            target.bias.copy_(layer.bias)


def fill(target: nn.Module, values: Matrix) -> None:
    """Write values, in the order of `values_of`, into the weights of a layer."""
    like = Weights().of(target)
    Weights().put(target, torch.from_numpy(np.ascontiguousarray(values)).reshape(like.shape))
