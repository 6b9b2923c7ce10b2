"""Texts that other programs wrote as bytes, names that hold a separator or are none, a target that is no list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.kinds.table_classification import TableClassification
from netwright.tasks.kinds.text_classification import TextClassification

KINDS = np.array(["café", "thé"])
WAVES = np.random.default_rng(0).random((40, 10))


def written(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "data.npz"
    np.savez(path, **{n: np.char.encode(a, "utf-8") if a.dtype.kind == "U" else a for n, a in arrays.items()})
    return path


def test_labels_and_names_of_classes_may_be_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, x_train=WAVES, y_train=np.tile(KINDS, 20))
    assert SequenceClassification(path=path).data().classes == ("café", "thé")
    named = written(tmp_path, x_train=WAVES[::-1], y_train=np.arange(40) % 2, class_names=KINDS)
    assert SequenceClassification(path=named).data().classes == ("café", "thé")


def test_texts_may_be_bytes(tmp_path: Path) -> None:
    texts = np.array(["le café noir", "un thé vert"] * 20)
    found = TextClassification(path=written(tmp_path, x_train=texts, y_train=np.arange(40) % 2)).data()
    assert {"café", "thé"} <= set(found.reading["vocabulary"])


@pytest.mark.parametrize(("mark", "name"), [(";", "x, y"), (",", "x; y"), ("\t", "x, y; z")])
def test_the_name_of_a_column_may_hold_what_separates_others(mark: str, name: str, tmp_path: Path) -> None:
    rows = [f"{place}{mark}{'uv'[place % 2]}" for place in range(40)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([f'"{name}"{mark}kind', *rows]), encoding="utf-8")
    found = TableClassification(path=path).data()
    assert [column["name"] for column in found.reading["columns"]] == [name]
    assert found.classes == ("u", "v")


def test_rows_without_names_are_told_apart_by_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(f'[{place}, "{"uv"[place % 2]}"]' for place in range(40)), encoding="utf-8")
    found = TableClassification(path=path).data()
    assert [column["name"] for column in found.reading["columns"]] == ["0"]
    assert found.classes == ("u", "v")


def test_one_target_for_all_samples_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, x_train=WAVES, y_train=np.array(3))
    with pytest.raises(DataError, match="at least one input and one target are needed"):
        SequenceClassification(path=path).data()
