"""Recurrent layers of a file are called as in the network, and can be named to be left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from netwright.export.quantization import quantize_dynamic
from netwright.export.to_onnx import export_onnx


class Readers(nn.Module):
    """A stack of two recurrent layers, and one in both directions behind it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LSTM(8, width, num_layers=2, batch_first=True))
        self.both = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.both(self.body(x)[0])[0][:, -1])


@pytest.mark.parametrize("width", [8, 64])
def test_a_recurrent_layer_has_its_own_name(width: int, tmp_path: Path) -> None:
    path = tmp_path / "readers.onnx"
    export_onnx(Readers(width).eval(), path, example=np.zeros((16, 5, 8), np.float32))
    nodes = [node.name for node in onnx.load(path).graph.node if node.op_type == "LSTM"]
    assert nodes == ["body.0.l0", "body.0.l1", "both"]
    told = quantize_dynamic(path, tmp_path / "q.onnx", exclude=["body"]).layers
    assert [(one.layer, one.int8) for one in told] == [
        ("body.0.l0", False),
        ("body.0.l1", False),
        ("both", True),
        ("head", True),
    ]
