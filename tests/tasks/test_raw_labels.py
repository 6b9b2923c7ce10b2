"""Labels as a file has them are taken by the bundle's loader too, whichever whole numbers they are."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.segmentation import Segmentation
from netwright.tasks.kinds.sequence_labelling import SequenceLabelling
from netwright.tasks.kinds.table_classification import TableClassification
from tests.conftest import ROOT

NUMBERED = runpy.run_path(str(ROOT / "netwright" / "export" / "templates" / "task.py"))["numbered"]


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


@pytest.mark.parametrize(
    ("values", "ignored"), [([0, 255], None), ([7, 200, 0], 9), ([[0, 0, 0], [255, 0, 0], [0, 255, 0]], None)]
)
def test_the_loader_numbers_masks_as_the_task_does(tmp_path: Path, values: list, ignored: int | None) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, len(values), (24, 8, 8))
    masks = np.array(values, np.uint8)[numbers]
    if ignored is not None:
        numbers[:, 0] = masks[:, 0] = ignored
    images = rng.integers(0, 255, (24, 1, 8, 8), np.uint8)
    path = tmp_path / "a.npz"
    np.savez(path, inputs=images, targets=masks)
    if masks.ndim == 4:
        path = folder_of(images, masks, tmp_path / "pairs")
    task = Segmentation(path=path, mask_values=values, ignore_label=ignored)
    settings = json.loads(json.dumps(task.data().answers))
    found = NUMBERED(masks, list(task.data().classes), settings["values"])
    assert found.tolist() == numbers.tolist()


def folder_of(images: np.ndarray, masks: np.ndarray, folder: Path) -> Path:
    from PIL import Image

    for name, arrays in (("images", images[:, 0]), ("masks", masks)):
        (folder / name).mkdir(parents=True)
        for number, pixels in enumerate(arrays):
            Image.fromarray(pixels).save(folder / name / f"{number:02}.png")
    return folder


@pytest.mark.parametrize("first", [0, 1])
def test_whole_numbers_that_a_table_writes_with_a_point_are_the_labels_that_programs_have(
    tmp_path: Path, first: int
) -> None:
    lines = [f"{n},{first + n % 2}.0" for n in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["age,label", *lines]), encoding="utf-8")
    found = TableClassification(path=tmp_path / "rows.csv").data()
    assert found.classes == (str(first), str(first + 1))
    for labels in (
        np.array([first, first + 1]),
        np.array([first, first + 1.0]),
        np.array([f"{first}", f"{first + 1}"]),
    ):
        assert NUMBERED(labels, list(found.classes)).tolist() == [0, 1]


def test_steps_may_have_texts_for_labels_and_none_after_the_end(tmp_path: Path) -> None:
    stages = np.array([["wake", "light", "deep", ""], ["deep", "wake", "light", "light"]] * 20)
    np.savez(tmp_path / "a.npz", inputs=np.random.default_rng(0).normal(size=(40, 4, 2)), targets=stages)
    task = SequenceLabelling(path=tmp_path / "a.npz")
    data = task.data()
    assert data.classes == ("deep", "light", "wake")
    assert sorted({tuple(row) for row in data.train.targets.tolist()}) == [(0, 2, 1, 1), (2, 1, 0, -1)]
    assert NUMBERED(stages[:2], list(data.classes)).tolist() == [[2, 1, 0, -1], [0, 2, 1, 1]]
    np.savez(tmp_path / "b.npz", x_train=np.zeros((8, 4, 2)), y_train=stages[:8], x_test=np.zeros((8, 4, 2)),
             y_test=np.where(stages[:8] == "deep", "Deep", stages[:8]))  # fmt: skip
    with pytest.raises(DataError, match=r"b\.npz: the label 'Deep' is no class of the training samples"):
        SequenceLabelling(path=tmp_path / "b.npz").data()
