"""Sessions run what they are given, and say what they take."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_networks import Exported, samples

from netwright.core.errors import ExportError
from netwright.export.onnx_runtime import Session


def test_a_session_says_what_it_takes(exported: Exported, tmp_path: Path) -> None:
    session = Session(exported.file("convnet"))
    assert session.input_shape == ("batch", 1, 12, 12)
    assert session(samples(3, 1, 12, 12)).shape == (3, 4)
    with pytest.raises(ExportError, match=r"does not run on an input of shape \(3, 2\)"):
        session(samples(3, 2))
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(ExportError, match=r"ONNX Runtime refuses bad\.onnx"):
        Session(tmp_path / "bad.onnx")
