"""The vectors of words are stored and looked up in 8 bits, by both methods, and counted as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netwright.core.shapes import Shapes
from netwright.export.onnx_runtime import Session
from netwright.export.quantization import QuantizationResult, quantize_dynamic
from netwright.export.quantization_static import quantize_static
from netwright.export.to_onnx import export_onnx
from netwright.search_spaces.spaces.embedding import TokenVectors

TOKENS = np.random.default_rng(0).integers(0, 300, (16, 9, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = TokenVectors().build({"width": 32, "dropout": 0.0}, Shapes((9, 1), 3, tokens=300), seed=0).eval()
    path = tmp_path_factory.mktemp("embedding") / "model.onnx"
    export_onnx(model, path, example=TOKENS)
    return path


@pytest.mark.parametrize("method", ["dynamic", "static"])
def test_vectors_are_looked_up_in_8_bits(method: str, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    found: QuantizationResult = (
        quantize_dynamic(source, target) if method == "dynamic" else quantize_static(source, target, calibration=TOKENS)
    )
    (vectors,) = (layer for layer in found.layers if layer.layer.endswith("embedding"))
    assert vectors.int8
    assert vectors.params == 300 * 32
    assert found.coverage_params > 0.95
    assert target.stat().st_size < source.stat().st_size / 2
    wanted, got = (Session(path)(TOKENS) for path in (source, target))
    assert np.linalg.norm(got - wanted) < 0.05 * np.linalg.norm(wanted)
