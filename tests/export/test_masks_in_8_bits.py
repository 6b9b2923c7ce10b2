"""Attention with a mask in 8 bits: minus infinity must not become the range of what is computed with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from netwright.core.errors import ExportError
from netwright.export.onnx_runtime import Session
from netwright.export.quantization_masks import without_masks
from netwright.export.quantization_ranges import Calibration
from netwright.export.quantization_static import Static, quantize_static
from netwright.export.to_onnx import export_onnx


class Masked(nn.Module):
    """A sequence whose steps see none of the later ones; `never` is what the mask adds to those."""

    def __init__(self, never: float, causal: bool | None = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.causal = causal
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder, self.head, self.never = nn.TransformerEncoder(layer, 2), nn.Linear(16, 3), never

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        length = inputs.size(1)
        mask = torch.triu(torch.full((length, length), self.never), 1)
        return self.head(self.encoder(inputs, mask=mask, is_causal=self.causal)[:, -1])


def _files(folder: Path, never: float) -> tuple[Path, np.ndarray[Any, Any]]:
    data = np.random.default_rng(0).normal(size=(64, 7, 16)).astype(np.float32)
    export_onnx(Masked(never).eval(), folder / "float.onnx", example=data[:16])
    return folder / "float.onnx", data


@pytest.mark.parametrize("never", [-np.inf, float(np.finfo(np.float32).min), -1e9])
def test_a_mask_leaves_the_8_bit_file_near_the_float_one(tmp_path: Path, never: float) -> None:
    source, data = _files(tmp_path, never)
    done = quantize_static(source, tmp_path / "int8.onnx", calibration=data)
    assert done.relative_error is not None
    assert done.relative_error < 0.1
    assert done.coverage_params > 0.9
    wanted, found = (Session(path)(data) for path in (source, done.path))
    assert np.linalg.norm(found - wanted) < 0.1 * np.linalg.norm(wanted)


@pytest.mark.parametrize("method", get_args(Calibration))
def test_every_way_of_calibrating_takes_a_mask(tmp_path: Path, method: Calibration) -> None:
    source, data = _files(tmp_path, -np.inf)
    done = quantize_static(source, tmp_path / "int8.onnx", calibration=data, settings=Static(method=method))
    assert done.relative_error is not None
    assert done.relative_error < 0.2


def test_a_file_without_masks_is_calibrated_as_it_is(tmp_path: Path) -> None:
    data = np.zeros((16, 4), np.float32)
    export_onnx(nn.Linear(4, 2).eval(), tmp_path / "plain.onnx", example=data)
    path = tmp_path / "plain.onnx"
    assert without_masks(path, tmp_path / "copy.onnx", until=frozenset()) == (path, [])
    assert not (tmp_path / "copy.onnx").exists()


def test_a_mask_that_torch_compares_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="call the transformer with is_causal=False beside the mask"):
        export_onnx(Masked(-np.inf, causal=None).eval(), tmp_path / "m.onnx", example=np.zeros((4, 7, 16), np.float32))


class Prices(nn.Module):
    """Inputs and results in hundreds of thousands, standardised inside."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers((inputs - 5e5) / 2e5) * 3e5 + 6e5


def test_large_numbers_that_rule_nothing_out_are_no_masks(tmp_path: Path) -> None:
    data = (5e5 + 2e5 * np.random.default_rng(0).normal(size=(64, 8))).astype(np.float32)
    export_onnx(Prices().eval(), tmp_path / "prices.onnx", example=data[:16])
    source = tmp_path / "prices.onnx"
    assert without_masks(source, tmp_path / "copy.onnx", until=frozenset({"Gemm", "MatMul"})) == (source, [])
    done = quantize_static(source, tmp_path / "int8.onnx", calibration=data)
    wanted, found = (Session(path)(data) for path in (source, done.path))
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted - wanted.mean())
