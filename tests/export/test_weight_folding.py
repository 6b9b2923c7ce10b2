"""What follows from weights alone is computed at the export, where the file does not grow by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from netwright.export.onnx_file import graph_cost
from netwright.export.onnx_runtime import Session
from netwright.export.to_onnx import export_onnx

WIDE, LONG = 96, 4096
"""Weights of so many rows and columns are above what the exporter computes itself."""


class Signs(nn.Module):
    """A Linear layer of plus and minus one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDE, WIDE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ones = torch.ones_like(self.weight)
        return x @ torch.where(self.weight >= 0, ones, -ones)


class Tied(nn.Module):
    """Words looked up in the matrix that scores them again."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.words = nn.Embedding(WIDE, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.words(x.argmax(1)) @ self.words.weight.t()


class Thin(nn.Module):
    """A matrix that is the product of two thin ones."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(WIDE, 16)), nn.Parameter(torch.randn(16, LONG))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.left @ self.right)


class Last(nn.Module):
    """The last state of a recurrent layer whose weights are above the limit."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, WIDE, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.reshape(x.shape[0], -1, 8))[0][:, -1]


@pytest.mark.parametrize(
    ("made", "weights", "nodes"),
    [
        (Signs(), WIDE * WIDE, 1),
        (Tied(WIDE), WIDE * WIDE, None),
        (Tied(16), WIDE * 16, None),
        (Thin(), 16 * (WIDE + LONG), 2),
        (nn.Sequential(Last()), 4 * WIDE * (8 + WIDE + 2), None),
    ],
    ids=["signs", "tied", "tied and small", "thin", "recurrent"],
)
def test_a_file_holds_what_is_computed_with_and_no_more(
    made: nn.Module, weights: int, nodes: int | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    path, example = tmp_path / "made.onnx", np.random.default_rng(0).standard_normal((16, WIDE)).astype(np.float32)
    export_onnx(made.eval(), path, example=example)
    graph = onnx.load(path).graph
    floats = [np.prod(one.dims) for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT]
    assert sum(floats) == pytest.approx(weights, abs=2)
    assert graph_cost(path).params == weights
    assert nodes is None or len(graph.node) == nodes
    used = {name for node in graph.node for name in node.input}
    assert {one.name for one in graph.initializer} <= used
    with torch.no_grad():
        np.testing.assert_allclose(Session(path)(example), made(torch.from_numpy(example)), rtol=1e-4, atol=1e-4)


def test_the_weights_of_a_recurrent_layer_are_no_activations(tmp_path: Path) -> None:
    path, example = tmp_path / "made.onnx", np.zeros((16, WIDE), np.float32)
    export_onnx(Last().eval(), path, example=example)
    assert graph_cost(path).peak_activation_bytes < 4 * 4 * WIDE * WIDE
