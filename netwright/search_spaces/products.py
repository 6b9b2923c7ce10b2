"""Counts the multiply-accumulates that torch's operations do, those included that torch's own counter leaves out."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def product_counter() -> FlopCounterMode:
    """A context that counts FLOPs, two for each multiply-accumulate of a convolution or a product of matrices.

    Beside torch's formulas it has products of a matrix and a vector, of two vectors, and `Bilinear`. Run networks
    on the `meta` device in it: on the CPU a recurrent layer or attention is one operation, which nothing counts.
    """
    operations = torch.ops.aten
    formulas = {operations.mv: _mv, operations.addmv: _addmv, operations.dot: _dot, operations._trilinear: _bilinear}
    return FlopCounterMode(display=False, custom_mapping=formulas)


def _mv(matrix: torch.Size, vector: torch.Size, **_: Any) -> int:
    del vector
    return 2 * prod(matrix)


def _addmv(added: torch.Size, matrix: torch.Size, vector: torch.Size, **_: Any) -> int:
    del added, vector
    return 2 * prod(matrix)


def _dot(vector: torch.Size, other: torch.Size, **_: Any) -> int:
    del other
    return 2 * prod(vector)


def _bilinear(left: torch.Size, weight: torch.Size, right: torch.Size, *_: Any, **__: Any) -> int:
    """Rows [n, i] and [n, j] with a weight [o, i, j]: its product with the left, then that with the right."""
    del right
    outputs, inner, outer = weight
    return 2 * prod(left[:-1]) * outputs * outer * (inner + 1)
