"""Products in few bits on this CPU: ONNX Runtime's ways beside torchao's, on a linear, an LSTM and a convolutional net.

Weights are random, so errors are those of rounding alone: the norm of the outputs' difference over their norm. Times
are CPU time of one thread at batch 1, all ways of a net interleaved; `speedup` is over ONNX Runtime's float file. Bytes
are those of the file, or of the state dict that torch saves. Where torchao is not installed, its rows say so.
"""

from __future__ import annotations

import copy
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from netwright.evaluation.latency import LatencyProtocol, measure_latency
from netwright.export.integer_weights import store_integers
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import quantize_dynamic
from netwright.export.quantization_static import quantize_static
from netwright.export.to_onnx import export_onnx

FLOAT = "ONNX Runtime, float"
PROTOCOL = LatencyProtocol(statistic="cpu", pairs=100, seconds=2.0, warmup_seconds=0.3, noisy_above=0.6)
Call = Callable[[np.ndarray], np.ndarray]
GROUP = 32
"""Inputs that share a scale in torchao's 4 bits; layers with other numbers of inputs stay in float."""


class Recurrent(nn.Module):
    """An LSTM of 128 units and a linear layer on the mean of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 128, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.lstm(inputs)[0].mean(1))
        return outputs


def networks() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Nets with the shape of one input."""
    torch.manual_seed(0)
    linear = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    layers: list[nn.Module] = []
    for inside, outside, stride in ((3, 32, 1), (32, 64, 2), (64, 64, 2)):
        layers += [nn.Conv2d(inside, outside, 3, stride=stride, padding=1), nn.ReLU()]
    convolutional = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 10))
    return {
        "linear 784-1024-1024-10": (linear, (784,)),
        "LSTM 128, 60 steps": (Recurrent(), (60, 32)),
        "convolutions, 3x32x32": (convolutional, (3, 32, 32)),
    }


def measure(folder: Path) -> list[dict[str, Any]]:
    """A row per net and way."""
    rows = []
    for name, (net, shape) in networks().items():
        net.eval()
        example = np.random.default_rng(0).standard_normal((64, *shape)).astype(np.float32)
        calls, sizes = _files(net, example, folder)
        refused = _torchao(net, example, calls, sizes)
        with torch.inference_mode():
            wanted = net(torch.from_numpy(example)).numpy()
        latencies = measure_latency(calls, example[:1], protocol=PROTOCOL, reference=FLOAT)
        for way, call in calls.items():
            found = latencies[way]
            error = float(np.linalg.norm(call(example) - wanted) / np.linalg.norm(wanted))
            row = {"name": f"{name}: {way}", "size_bytes": sizes[way], "relative_error": error}
            rows.append(row | {"cpu_ms": found.cpu_median_ms, "speedup": found.speedup, "noisy": found.noisy})
        rows += [{"name": f"{name}: {way}", "refused": reason} for way, reason in refused.items()]
    return rows


def _files(net: nn.Module, example: np.ndarray, folder: Path) -> tuple[dict[str, Call], dict[str, int]]:
    """ONNX Runtime's ways; static ranges come from the same inputs."""
    source = folder / "float.onnx"
    export_onnx(net, source, example=example[:16])
    paths = {FLOAT: source, **{f"ONNX Runtime, {way}": folder / f"{number}.onnx" for number, way in enumerate(_WAYS)}}
    dynamic, static, stored, products = list(paths.values())[1:]
    quantize_dynamic(source, dynamic)
    quantize_static(source, static, calibration=example)
    store_integers(source, stored, bits=4)
    store_integers(source, products, bits=4, products=True)
    return {way: Session(path) for way, path in paths.items()}, {way: p.stat().st_size for way, p in paths.items()}


_WAYS = ("dynamic int8", "static int8", "4-bit weights", "4-bit products")


def _torchao(net: nn.Module, example: np.ndarray, calls: dict[str, Call], sizes: dict[str, int]) -> dict[str, str]:
    """Adds PyTorch's float and torchao's ways; gives those that cannot be had, with the reason."""
    _add("PyTorch, float", net, calls, sizes)
    if importlib.util.find_spec("torchao") is None:
        return {"torchao": "torchao is not installed"}
    from torchao import quantization as ao

    four = {"weight_dtype": torch.int4}
    ways = {
        "torchao, int8 dynamic": ao.Int8DynamicActivationInt8WeightConfig(),
        "torchao, int8 weights": ao.Int8WeightOnlyConfig(),
        "torchao, int4 weights": ao.IntxWeightOnlyConfig(**four, granularity=ao.PerGroup(GROUP)),
        "torchao, int4 weights, int8 inputs": ao.Int8DynamicActivationIntxWeightConfig(
            **four, weight_granularity=ao.PerGroup(GROUP)
        ),
    }
    refused = {}
    for way, settings in ways.items():
        changed = copy.deepcopy(net)
        try:
            ao.quantize_(changed, settings, filter_fn=_divides)
            with torch.inference_mode():
                changed(torch.from_numpy(example))
        except (RuntimeError, NotImplementedError, AssertionError, ImportError) as error:
            refused[way] = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        _add(way, changed, calls, sizes)
    return refused


def _divides(layer: nn.Module, path: str) -> bool:
    del path
    return isinstance(layer, nn.Linear) and layer.in_features % GROUP == 0


def _add(way: str, net: nn.Module, calls: dict[str, Call], sizes: dict[str, int]) -> None:
    def call(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = net(torch.from_numpy(batch)).numpy()
        return found

    held = io.BytesIO()
    torch.save(net.state_dict(), held)
    calls[way], sizes[way] = call, len(held.getvalue())
