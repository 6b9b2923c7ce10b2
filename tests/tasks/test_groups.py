"""Samples of one group, such as a speaker or a patient, stay in one part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.core.plugins import build
from netwright.tasks.kinds.sequence_classification import SequenceClassification
from netwright.tasks.task import Task

PERSONS, CLIPS = 20, 9


def stored(folder: Path, **more: Any) -> Path:
    """An .npz file of recordings that begin with the number of who speaks; of each person every class."""
    person = np.repeat(np.arange(PERSONS), CLIPS)
    inputs = np.random.default_rng(0).normal(size=(len(person), 5)) + person[:, None] * [100, 0, 0, 0, 0]
    arrays = {"inputs": inputs, "targets": np.arange(len(person)) % 3, "groups": np.char.add("p", person.astype(str))}
    np.savez(folder / "a.npz", **(arrays | more))
    return folder / "a.npz"


def persons(task: Task) -> list[set[int]]:
    data = task.data()
    parts = (data.train, data.validation, data.test.read())
    firsts = [split.inputs.reshape(len(split), -1)[:, 0] for split in parts]
    return [set(np.rint(first / 100).astype(int).tolist()) for first in firsts]


def test_arrays_are_parted_by_groups_and_classes_keep_their_share(tmp_path: Path) -> None:
    task = SequenceClassification(path=stored(tmp_path))
    found = persons(task)
    assert sum(map(len, found)) == len(set.union(*found)) == PERSONS
    assert [len(part) for part in found] == [14, 3, 3]
    assert np.bincount(task.data().test.read().targets).tolist() == [9, 9, 9]
    assert persons(SequenceClassification(path=task.path, split_seed=1)) != found


def test_a_part_that_is_given_stays_as_it_is(tmp_path: Path) -> None:
    path = stored(tmp_path, x_test=np.zeros((3, 5)), y_test=np.arange(3))
    found = persons(SequenceClassification(path=path))
    assert [len(part) for part in found] == [17, 3, 1]
    assert not found[0] & found[1]


@pytest.mark.parametrize("kind", ["table_classification", "regression", "text_classification"])
def test_a_column_of_a_table_names_the_groups_and_is_no_input(tmp_path: Path, kind: str) -> None:
    rows = [(100 * (n // CLIPS), f"{n // CLIPS} said", f"p{n // CLIPS}", n % 3) for n in range(PERSONS * CLIPS)]
    lines = ["size,text,who,target", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    more = {"label": "target"} if kind == "text_classification" else {"ignore": ["text"]}
    task = build("task", {"kind": kind, "path": str(tmp_path / "rows.csv"), "group": "who", **more})
    assert isinstance(task, Task)
    if kind == "text_classification":
        data = task.data()
        parts = (data.train, data.validation, data.test.read())
        found = [set(split.inputs[:, -2, 0].tolist()) - {1.0} for split in parts]
        assert not found[1] | found[2]  # persons of other parts are no known words
        assert len(found[0]) == 14
    else:
        assert task.shapes().input == (1,)
        found = [set(map(float, part)) for part in persons(task)]
        assert [len(part) for part in found] == [14, 3, 3]
        assert len(set.union(*found)) == PERSONS


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"groups": np.arange(7)}, "has 7 groups for 180 training samples; give one group per sample"),
        ({"groups": np.arange(180) % 2}, "2 groups are too few to split into 3 parts"),
        ({"groups": np.arange(180) % 3}, "class '.' is in so few groups that none is left to train on"),
        ({"groups": np.full(180, np.nan)}, "groups are nan"),
    ],
)
def test_groups_that_cannot_be_parted_are_refused(tmp_path: Path, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        SequenceClassification(path=stored(tmp_path, **more)).data()


def test_an_empty_cell_is_no_group(tmp_path: Path) -> None:
    lines = ["size,who,kind", *(f"{n},{'' if n == 5 else n % 9},{n % 2}" for n in range(60))]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match="row 7: the column 'who' is empty; give every row a group"):
        build("task", {"kind": "table_classification", "path": str(tmp_path / "rows.csv"), "group": "who"}).data()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["table_classification", "text_classification"])
def test_a_group_in_several_given_parts_is_refused(tmp_path: Path, kind: str) -> None:
    rows = [(f"word {n % 5}", f"p{n // 4}", "test" if n in (3, 9) else "train", n % 2) for n in range(60)]
    lines = ["text,who,part,target", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    task = build(
        "task",
        {"kind": kind, "path": str(tmp_path / "rows.csv"), "group": "who", "split": "part", "label": "target"},
    )
    assert isinstance(task, Task)
    with pytest.raises(DataError, match="2 of 15 groups of the column 'who' are in several parts, such as 'p0'"):
        task.data()
