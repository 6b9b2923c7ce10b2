"""Thin layers in a row that stand for one: built from matrices, with everything else of the layer kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from netwright.compression.factors_matrices import Weights, weights_of

Matrix = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def truncated(matrix: Matrix, rank: int) -> tuple[Matrix, Matrix, float]:
    """Left [rows, rank] and right [rank, columns] factors by SVD, of equal size, and the relative error."""
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[:rank])
    error = np.linalg.norm(values[rank:]) / (np.linalg.norm(values) + 1e-30)
    return left[:, :rank] * root, root[:, None] * right[:rank], float(error)


def values_of(layer: nn.Module, weights: Weights | None = None) -> Matrix:
    """Weights of a layer, by default the only ones, in double precision."""
    return np.asarray((weights or Weights()).of(layer).double().cpu().numpy())


def linear(layer: nn.Linear, rank: int) -> tuple[nn.Sequential, float]:
    """Two Linear layers."""
    outer, inner, error = truncated(values_of(layer), rank)
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features, bias=layer.bias is not None)
    fill(first.weight, inner)
    fill(second.weight, outer)
    keep_bias(second, layer)
    return nn.Sequential(first, second), error


def pointwise(layer: nn.Conv2d, rank: int) -> tuple[nn.Sequential, float]:
    """Two 1×1 convolutions, of which the first, that has the fewer outputs, keeps the layer's stride and border."""
    outer, inner, error = truncated(values_of(layer)[:, :, 0, 0], rank)
    first = part(layer, layer.in_channels, rank)
    second = nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None)
    fill(first.weight, inner[:, :, None, None])
    fill(second.weight, outer[:, :, None, None])
    keep_bias(second, layer)
    return nn.Sequential(first, second), error


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
    fill(first.weight, inner)
    for name, rows in zip(before.names, np.split(outer, len(before.names)), strict=True):
        setattr(made, name, nn.Parameter(torch.from_numpy(rows).to(getattr(layer, name))))
    made.input_size = ranks[0]
    size = float(before.of(layer).double().square().sum())
    return nn.Sequential(first, made), float(np.sqrt((lost + error**2 * size) / (whole + size + 1e-30)))


def spatial(layer: nn.Conv2d, rank: int) -> tuple[nn.Sequential, float]:
    """A k×1 and a 1×k convolution: Jaderberg, Vedaldi & Zisserman, BMVC 2014, solved by SVD."""
    weight = values_of(layer)
    out, inner, high, wide = weight.shape
    columns, lines, error = truncated(weight.transpose(1, 2, 0, 3).reshape(inner * high, out * wide), rank)
    first = part(layer, layer.in_channels, rank, axis=0)
    second = part(layer, rank, out, axis=1, bias=layer.bias is not None)
    fill(first.weight, columns.T.reshape(rank, inner, high, 1))
    fill(second.weight, lines.reshape(rank, out, wide).transpose(1, 0, 2)[:, :, None, :])
    keep_bias(second, layer)
    return nn.Sequential(first, second), error


def tucker(layer: nn.Conv2d, core: Matrix, outer: Matrix, inner: Matrix) -> tuple[nn.Sequential, float]:
    """A 1×1, the core at full kernel size, a 1×1: Kim et al., ICLR 2016."""
    weight = values_of(layer)
    out_rank, in_rank = core.shape[:2]
    first = nn.Conv2d(layer.in_channels, in_rank, 1, bias=False)
    middle = nn.Conv2d(
        in_rank,
        out_rank,
        layer.kernel_size,  # type: ignore[arg-type]  # torch types its own attributes loosely
        stride=layer.stride,  # type: ignore[arg-type]  # as above
        padding=layer.padding,  # type: ignore[arg-type]  # as above
        dilation=layer.dilation,  # type: ignore[arg-type]  # as above
        padding_mode=layer.padding_mode,
        bias=False,
    )
    last = nn.Conv2d(out_rank, layer.out_channels, 1, bias=layer.bias is not None)
    fill(first.weight, inner.T[:, :, None, None])
    fill(middle.weight, core)
    fill(last.weight, outer[:, :, None, None])
    keep_bias(last, layer)
    rebuilt = np.einsum("abhw,oa,ib->oihw", core, outer, inner)
    return nn.Sequential(first, middle, last), relative_error(rebuilt, weight)


def cp(layer: nn.Conv2d, factors: Sequence[Matrix]) -> tuple[nn.Sequential, float]:
    """1×1, k×1 and 1×k on each channel alone, 1×1: Lebedev et al., ICLR 2015.

    `factors`: [out, rank], [in, rank], [height, rank] and [width, rank].
    """
    outer, inner, high, wide = factors
    rank = outer.shape[1]
    first = nn.Conv2d(layer.in_channels, rank, 1, bias=False)
    second = part(layer, rank, rank, axis=0, groups=rank)
    third = part(layer, rank, rank, axis=1, groups=rank)
    last = nn.Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None)
    fill(first.weight, inner.T[:, :, None, None])
    fill(second.weight, high.T[:, None, :, None])
    fill(third.weight, wide.T[:, None, None, :])
    fill(last.weight, outer[:, :, None, None])
    keep_bias(last, layer)
    rebuilt = np.einsum("or,ir,hr,wr->oihw", outer, inner, high, wide, optimize=True)
    return nn.Sequential(first, second, third, last), relative_error(rebuilt, values_of(layer))


def part(
    layer: nn.Conv2d, inner: int, out: int, *, axis: int | None = None, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """The convolution along one axis (0 height, 1 width), or both, with the layer's kernel, stride, border there."""

    def along(value: Any, other: int) -> Any:
        return value if isinstance(value, str) else tuple(value[i] if axis in (i, None) else other for i in (0, 1))

    return nn.Conv2d(
        inner,
        out,
        along(layer.kernel_size, 1),
        stride=along(layer.stride, 1),
        padding=along(layer.padding, 0),
        dilation=along(layer.dilation, 1),
        groups=groups,
        padding_mode=layer.padding_mode,
        bias=bias,
    )


def relative_error(rebuilt: Matrix, weight: Matrix) -> float:
    """The relative Frobenius norm of the difference."""
    return float(np.linalg.norm(rebuilt - weight) / (np.linalg.norm(weight) + 1e-30))


def keep_bias(target: nn.Linear | nn.Conv2d, layer: nn.Linear | nn.Conv2d) -> None:
    """The layer's bias on the last of its factors."""
    if layer.bias is not None and target.bias is not None:
        fill(target.bias, layer.bias.detach().double().cpu().numpy())


def fill(target: torch.Tensor, values: Matrix) -> None:
    """Write values into a parameter."""
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(values)))
