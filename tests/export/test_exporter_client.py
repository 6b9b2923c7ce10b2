"""The process that exports, after a job that was cut short."""

from __future__ import annotations

import _thread
import threading
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from netwright.export.to_onnx import export_onnx

EXAMPLE = np.zeros((2, 4), np.float32)


def test_an_export_after_one_that_was_interrupted_gets_its_own_answer(tmp_path: Path) -> None:
    export_onnx(nn.Linear(4, 2), tmp_path / "first.onnx", example=EXAMPLE)
    deep = nn.Sequential(*[nn.Linear(4, 4) for _ in range(60)])
    timer = threading.Timer(0.2, _thread.interrupt_main)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 -- the timer belongs to it
        timer.start()
        export_onnx(deep, tmp_path / "cut.onnx", example=EXAMPLE)
    assert export_onnx(nn.Linear(4, 3), tmp_path / "next.onnx", example=EXAMPLE).path.is_file()
