"""Whether factors are really faster than the layer they stand for: both exported, and timed side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

from netwright.evaluation.latency import LatencyProtocol
from netwright.export.timing import time_files
from netwright.export.to_onnx import export_onnx

PROTOCOL = LatencyProtocol(statistic="cpu", pairs=60, seconds=0.5, warmup_seconds=0.1, warmup_windows=3)


class FirstOutput(nn.Module):
    """A layer of which only the first output is asked for, as of a recurrent one."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found = self.layer(inputs)
        first: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return first


def speedup(layer: nn.Module, factors: nn.Module, example: torch.Tensor) -> float:
    """How many times faster the factors' file runs than the layer's, alone, on one input [1, ...] of the network's.

    The median of the thread's CPU time, so that a neighbour on the machine does not decide. Raises ExportError when
    one of them cannot be exported.
    """
    inputs = example.detach().cpu().numpy()
    with tempfile.TemporaryDirectory(prefix="netwright-") as folder:
        files = {}
        for name, one in (("layer", layer), ("factors", factors)):
            files[name] = Path(folder) / f"{name}.onnx"
            export_onnx(FirstOutput(one).eval(), files[name], example=inputs)
        found = time_files(files, inputs, protocol=PROTOCOL, reference="layer", sessions=2)
    return found["layer"].value_ms / found["factors"].value_ms
