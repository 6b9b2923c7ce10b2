"""Labels as a file has them are taken by the bundle's loader too, whichever whole numbers they are."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from netwright.tasks.kinds.table_classification import TableClassification
from tests.conftest import ROOT

NUMBERED = runpy.run_path(str(ROOT / "netwright" / "export" / "templates" / "load.py"))["numbered"]


@pytest.mark.parametrize("values", [(1, 2, 3), (-1, 1, 2), (3, 70, 71), (0, 1, 2), (1.0, 2.0, 3.0), ("a", "b", "c")])
def test_the_loader_numbers_labels_as_the_task_does(tmp_path: Path, values: tuple[int, ...]) -> None:
    labels = np.array(values * 20)
    np.savez(tmp_path / "a.npz", inputs=np.arange(120.0).reshape(60, 2), targets=labels)
    task = TableClassification(path=tmp_path / "a.npz")
    wanted = task.load().train[1]
    assert NUMBERED(labels, list(task.data().classes)).tolist() == wanted.tolist()


def test_numbers_of_classes_and_values_that_are_no_classes_stay_as_they_are() -> None:
    assert NUMBERED(np.array([0, 2, 1]), ["1", "2", "3"]).tolist() == [0, 2, 1]
    assert NUMBERED(np.array([0, 2, 1]), ["cat", "dog", "fish"]).tolist() == [0, 2, 1]
    assert NUMBERED(np.array([0.5, 2.0]), []).tolist() == [0.5, 2.0]
