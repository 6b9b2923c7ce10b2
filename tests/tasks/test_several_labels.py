"""Several labels of a sample, each 0 or 1, in every task of classes; and images that a table names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netwright.core.errors import ConfigurationError, DataError
from netwright.core.plugins import build
from netwright.tasks.kinds.image_classification import ImageClassification
from netwright.tasks.kinds.table_classification import TableClassification
from netwright.tasks.task import Task

RNG = np.random.default_rng(0)
MARKS = np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], axis=1).astype(np.int64)


def made(kind: str, **settings: Any) -> Task:
    task = build("task", {"kind": kind, **settings})
    assert isinstance(task, Task)
    return task


def written(folder: Path, first: list[str], *, name: str, cells: Any = MARKS) -> Path:
    lines = [f"{name},wet,cold", *(",".join([text, *map(str, row)]) for text, row in zip(first, cells, strict=True))]
    (folder / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "rows.csv"


def pictures(folder: Path, *, side: int = 6) -> list[str]:
    (folder / "shots").mkdir()
    names = [f"shots/{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        Image.new("L", (side + number % 2, side), number).save(folder / name)
    return names


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("image_classification", (4, 4)), ("sequence_classification", (5,)), ("table_classification", ())],
)
def test_arrays_with_a_matrix_of_labels(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    inputs = RNG.normal(size=(60, 3, *shape) if shape != (4, 4) else (60, 4, 4))
    np.savez(tmp_path / "data.npz", inputs=inputs, targets=MARKS, class_names=["wet", "cold"])
    task = made(kind, path=str(tmp_path / "data.npz"), several=True)
    data = task.data()
    assert data.classes == ("wet", "cold")
    assert (task.shapes().output, task.primary().metric) == (2, "roc_auc")
    assert data.train.targets.shape == (len(data.train), 2)


def test_each_label_has_a_score_of_its_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", inputs=RNG.normal(size=(60, 3)), targets=MARKS, class_names=["wet", "cold"])
    task = made("table_classification", path=str(tmp_path / "data.npz"), several=True)
    outputs = np.stack([np.arange(60) % 2, -(np.arange(60) % 3 == 0).astype(int)], axis=1).astype(np.float32)
    found = task.score(outputs, MARKS)
    assert (found["roc_auc"], found["roc_auc of wet"], found["roc_auc of cold"]) == (0.5, 1.0, 0.0)
    assert task.targets().answers.summary(found, 60).endswith("roc_auc of wet 1.0, roc_auc of cold 0.0 (60 samples)")


def test_rows_and_texts_of_a_table_with_a_column_for_each_label(tmp_path: Path) -> None:
    words = [f"it is day {number % 5} here" for number in range(60)]
    cells = MARKS.astype(object)
    cells[0, 0], cells[1] = "", ["true", "No"]
    path = written(tmp_path, words, name="text", cells=cells)
    for kind, others in (("text_classification", {}), ("table_classification", {})):
        task = made(kind, path=str(path), label=["wet", "cold"], **others)
        data = task.data()
        assert data.classes == ("wet", "cold")
        assert task.targets().gives(2) == "tells which of 2 labels a sample has: wet, cold"
        parts = np.concatenate([data.train.targets, data.validation.targets, data.test.read().targets])
        assert (parts == -1).sum(axis=0).tolist() == [1, 0]
        assert (parts == 1).sum(axis=0).tolist() == [30, 20]


def test_a_table_names_images_and_their_classes(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    lines = [f"{name},{'odd' if n % 2 else 'even'},{parts[n]}" for n, name in enumerate(names)]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,part", *lines]), encoding="utf-8")
    data = ImageClassification(path=tmp_path / "list.csv", size=8, split="part").data()
    assert (len(data.train), len(data.validation), len(data.test), data.classes) == (40, 10, 10, ("even", "odd"))
    assert data.train.inputs.shape == (40, 1, 8, 8)
    assert data.train.inputs[:, 0, 0, 0].tolist() == list(range(40))
    assert data.test.read().targets.tolist() == [n % 2 for n in range(50, 60)]


def test_a_table_names_images_and_several_labels(tmp_path: Path) -> None:
    path = written(tmp_path, [name.removeprefix("shots/") for name in pictures(tmp_path)], name="photo")
    task = ImageClassification(path=path, folder=tmp_path / "shots", file="photo", label=("wet", "cold"), size=8)
    assert task.data().classes == ("wet", "cold")
    assert "resized" in task.prepared()
    assert "files are read by Pillow" in task.prepared()


def test_what_a_table_of_images_lacks_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, pictures(tmp_path), name="file")
    with pytest.raises(DataError, match=r"the images differ in size.*set `size: "):
        ImageClassification(path=path, label="wet").data()
    with pytest.raises(DataError, match="no column of classes is named; name one by `label`"):
        ImageClassification(path=path, label=()).data()
    with pytest.raises(DataError, match=r"has no column 'label'.*; name the right one by `label`"):
        ImageClassification(path=path, size=8).data()
    (tmp_path / "shots" / "7.png").unlink()
    with pytest.raises(DataError, match=r"7\.png is not there; .*`folder`"):
        ImageClassification(path=path, size=8, label="wet").data()


def test_labels_that_are_neither_there_nor_not_are_named_with_their_row(tmp_path: Path) -> None:
    cells = MARKS.astype(object)
    cells[2, 1] = "maybe"
    path = written(tmp_path, [str(n) for n in range(60)], name="day", cells=cells)
    with pytest.raises(
        DataError,
        match="row 4, column 'cold': 'maybe' is neither 0 nor 1; give each label a",
    ):
        TableClassification(path=path, label=("wet", "cold")).data()


def test_labels_of_a_table_need_their_columns_names(tmp_path: Path) -> None:
    path = written(tmp_path, [str(n) for n in range(60)], name="day")
    with pytest.raises(DataError, match=r"name the columns of labels by `label`, as in"):
        TableClassification(path=path, several=True).data()
    np.savez(tmp_path / "data.npz", inputs=RNG.normal(size=(60, 3)), targets=MARKS)
    with pytest.raises(DataError, match=r"give one class number per sample .*several labels are taken by `several"):
        TableClassification(path=tmp_path / "data.npz").data()


def test_folders_of_classes_and_scores_of_classes_do_not_go_with_several_labels(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="a folder per class gives an image one class; for several labels name the"):
        ImageClassification(path=tmp_path, several=True).data()
    with pytest.raises(ConfigurationError, match="no score 'accuracy'; give one of roc_auc, label_f1"):
        ImageClassification.parse({"path": tmp_path, "several": True, "judged_by": "accuracy"})


def test_labels_that_validation_does_not_have_are_told(tmp_path: Path) -> None:
    rare = np.stack([np.arange(60) % 2, np.arange(60) == 7], axis=1).astype(int)
    arrays = {
        "x_train": RNG.normal(size=(60, 3)),
        "y_train": rare,
        "x_val": RNG.normal(size=(10, 3)),
        "y_val": rare[:6],
    }
    arrays["x_val"] = arrays["x_val"][:6]
    np.savez(tmp_path / "data.npz", class_names=["wet", "cold"], **arrays)
    task = made("table_classification", path=str(tmp_path / "data.npz"), several=True)
    assert "labels that all validation samples have alike, which count in no roc_auc there: cold" in task.remarks()


def test_images_of_a_table_that_belong_together_stay_in_one_part(tmp_path: Path) -> None:
    names = pictures(tmp_path)
    lines = [f"{name},{'odd' if n % 2 else 'even'},patient {n // 6}" for n, name in enumerate(names)]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,who", *lines]), encoding="utf-8")
    data = ImageClassification(path=tmp_path / "list.csv", size=8, group="who").data()
    parts = [set((split.inputs[:, 0, 0, 0] // 6).tolist()) for split in (data.train, data.validation, data.test.read())]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 10


@pytest.mark.parametrize("settings", [{"group": "who"}, {"split": "part"}, {"label": ("wet", "cold")}])
def test_columns_are_named_for_a_table_alone(tmp_path: Path, settings: dict[str, Any]) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((60, 4, 4)), y=MARKS[:, 0])
    (tmp_path / "cat").mkdir()
    for path in (tmp_path / "data.npz", tmp_path):
        with pytest.raises(DataError, match="columns are named for a table, which this is not"):
            ImageClassification(path=path, **settings).data()
    with pytest.raises(DataError, match="columns are named for a table, which this is not"):
        made("text_classification", path=str(tmp_path / "data.npz"), **settings).data()
