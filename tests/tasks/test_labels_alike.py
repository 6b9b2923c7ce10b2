"""Labels that differ by blanks are one class, those that differ by case are told: in every kind of file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.core.plugins import build
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.task import Task
from tests.tasks.test_raw_labels import NUMBERED

SAID = "classes whose names differ by case alone: 'Cat' and 'cat'; write them alike if they are one"
LABELS = np.array(["cat", "Cat ", " dog", "dog"] * 15)


def stored(folder: Path, kind: str) -> Task:
    path = folder / ("rows.csv" if kind in ("table_classification", "text_classification") else "data.npz")
    if path.suffix == ".csv":
        lines = ["text,label", *(f'"{n % 7} it is",{label}' for n, label in enumerate(LABELS))]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        shape = (60, 4, 4) if kind == "image_classification" else (60, 5)
        np.savez(path, x_train=np.random.default_rng(0).normal(size=shape), y_train=LABELS)
    made = build("task", {"kind": kind, "path": str(path)})
    assert isinstance(made, Task)
    return made


@pytest.mark.parametrize(
    "kind", ["image_classification", "sequence_classification", "table_classification", "text_classification"]
)
def test_labels_are_one_class_whatever_blanks_they_have_and_told_where_case_differs(tmp_path: Path, kind: str) -> None:
    task = stored(tmp_path, kind)
    assert task.data().classes == ("Cat", "cat", "dog")
    assert SAID in task.remarks()


def test_the_loader_takes_labels_with_blanks() -> None:
    assert NUMBERED(LABELS[:4], ["Cat", "cat", "dog"]).tolist() == [1, 0, 2, 2]


def test_folders_that_differ_by_case_are_told_and_names_that_do_not_are_not(tmp_path: Path) -> None:
    from PIL import Image

    for place, name in enumerate(("cat", "Cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(8):
            Image.new("L", (4, 4), 8 * place + number).save(tmp_path / name / f"{number}.png")
    assert ImageClassification(path=tmp_path).remarks() == (SAID,)


def test_an_empty_label_is_no_class(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((60, 4, 4)), y=np.where(LABELS == "dog", " ", LABELS))
    with pytest.raises(DataError, match="15 of 60 labels are empty; remove those samples, or give them a class"):
        ImageClassification(path=tmp_path / "data.npz").data()
