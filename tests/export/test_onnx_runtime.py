"""Sessions run what they are given, and int8 files stay near their originals and say what they cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_networks import Exported, samples

from netwright.core.errors import ExportError
from netwright.evaluation.machine import Machine, this_machine
from netwright.export.onnx_runtime import Session, quantize_dynamic, quantize_static


def _relative_error(a: Path, b: Path, inputs: np.ndarray) -> float:
    exact, other = Session(a)(inputs), Session(b)(inputs)
    return float(np.sqrt(np.mean((exact - other) ** 2)) / exact.std())


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_static_int8_is_near_and_covers_everything(method: str, exported: Exported, tmp_path: Path, capfd) -> None:
    source, data = exported.file("convnet"), samples(150, 1, 12, 12)
    found = quantize_static(source, tmp_path / "q.onnx", calibration=data, method=method)
    assert _relative_error(source, tmp_path / "q.onnx", data) < 0.1
    assert (found.coverage_params, found.coverage_macs, found.left) == (1.0, 1.0, ())
    assert found.reduce_range == this_machine().int8_products_saturate
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["convnet", "separable", "mlp"])
@pytest.mark.parametrize("reduce_range", [True, None])
def test_static_int8_error_is_small(name: str, reduce_range: bool | None, exported: Exported, tmp_path: Path) -> None:
    data = samples(128, *exported.shape(name))
    quantize_static(exported.file(name), tmp_path / "q.onnx", calibration=data, reduce_range=reduce_range)
    assert _relative_error(exported.file(name), tmp_path / "q.onnx", data) < 0.06


def test_dynamic_int8_covers_lstm_and_linear(exported: Exported, tmp_path: Path) -> None:
    found = quantize_dynamic(exported.file("lstm"), tmp_path / "q.onnx")
    assert (found.coverage_params, found.coverage_macs) == (1.0, 1.0)
    assert _relative_error(exported.file("lstm"), tmp_path / "q.onnx", samples(50, 9, 5)) < 0.1


def test_what_stays_in_float_is_named_with_a_reason(exported: Exported, tmp_path: Path) -> None:
    found = quantize_static(exported.file("lstm"), tmp_path / "q.onnx", calibration=samples(16, 9, 5))
    assert found.coverage_params < 0.2
    assert found.coverage_macs < 0.02
    ((layer, reason),) = found.left
    assert "lstm" in layer
    assert reason == "ONNX Runtime has no such int8 kernel for LSTM; quantize it dynamically"
    dynamic = quantize_dynamic(exported.file("convnet"), tmp_path / "d.onnx")
    assert {layer for layer, _ in dynamic.left} == {"0.0", "2.0"}


def test_excluded_layers_stay_in_float(exported: Exported, tmp_path: Path) -> None:
    data = samples(16, 1, 12, 12)
    found = quantize_static(exported.file("convnet"), tmp_path / "q.onnx", calibration=data, exclude=["2"])
    assert found.left == (("2.0", "excluded"),)
    assert 0 < found.coverage_macs < 1
    with pytest.raises(ExportError, match=r"no layer to exclude is called '2\.x'.* did you mean '2\.0'"):
        quantize_static(exported.file("convnet"), tmp_path / "q.onnx", calibration=data, exclude=["2.x"])


def test_range_is_reduced_only_where_full_range_saturates() -> None:
    plain = Machine(cpu="a", architecture="x86_64", cpus=1, isa=("avx2", "avx512f"))
    vnni = Machine(cpu="b", architecture="x86_64", cpus=1, isa=("avx2", "avx512f", "avx512_vnni"))
    arm = Machine(cpu="c", architecture="aarch64", cpus=1, isa=("asimd",))
    assert [m.int8_products_saturate for m in (plain, vnni, arm)] == [True, False, False]


def test_no_calibration_data_is_one_sentence(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs calibration samples, came none"):
        quantize_static(exported.file("mlp"), tmp_path / "q.onnx", calibration=samples(0, 1, 12, 12))


def test_a_session_says_what_it_takes(exported: Exported, tmp_path: Path) -> None:
    session = Session(exported.file("convnet"))
    assert session.input_shape == ("batch", 1, 12, 12)
    assert session(samples(3, 1, 12, 12)).shape == (3, 4)
    with pytest.raises(ExportError, match=r"does not run on an input of shape \(3, 2\)"):
        session(samples(3, 2))
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(ExportError, match=r"ONNX Runtime refuses bad\.onnx"):
        Session(tmp_path / "bad.onnx")
