"""Values in units far from one: tiny, huge, or all nearly the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.regression import Regression

LENGTHS = np.random.default_rng(0).normal(size=(60, 2))


def written(folder: Path, *, inputs: np.ndarray, targets: np.ndarray) -> Path:
    path = folder / "rows.csv"
    np.savetxt(path, np.column_stack([inputs, targets]), "%.17g", delimiter=",", header="a,b,y", comments="")
    return path


@pytest.mark.parametrize("unit", [1e-20, 1e-9, 1e9])
def test_inputs_and_targets_of_any_unit_are_standardised(tmp_path: Path, unit: float) -> None:
    data = Regression(path=written(tmp_path, inputs=LENGTHS * unit, targets=LENGTHS[:, 0] * unit)).data()
    ready = data.preprocessing(data.train.inputs)
    assert np.allclose(ready.std(axis=0), 1, atol=1e-3)
    assert data.answers["std"] == pytest.approx(data.train.targets.std(axis=0), rel=1e-3)


def test_targets_that_float32_cannot_tell_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"differ too little for 32-bit floats.*subtract what they have in common"):
        Regression(path=written(tmp_path, inputs=LENGTHS, targets=1e9 + LENGTHS[:, 0])).data()


def test_inputs_that_float32_cannot_tell_apart_are_told(tmp_path: Path) -> None:
    inputs = LENGTHS + np.array([1e9, 1000.1])
    task = Regression(path=written(tmp_path, inputs=inputs, targets=LENGTHS[:, 0]))
    assert task.remarks() == (
        "columns whose values differ too little for 32-bit floats: a; subtract what they have in common",
    )
