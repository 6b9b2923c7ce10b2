"""Tables as people have them: texts, empty cells, decimal commas; what rows become, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.forecasting import Forecasting
from netwright.tasks.kinds.regression import Regression
from netwright.tasks.kinds.table_classification import TableClassification
from netwright.tasks.readers.tables import read

COLOURS = ("red", "blue", "")


def row(place: int) -> list[str]:
    """age, colour, one, kind: every seventh age is empty, every third colour too."""
    age = "" if place % 7 == 0 else f"{place + 0.5}"
    return [age, COLOURS[place % 3], "1", "odd" if place % 2 else "even"]


def written(folder: Path, rows: list[list[str]], *, mark: str = ",", names: str = "age,colour,one,kind") -> Path:
    path = folder / "rows.csv"
    lines = [names.replace(",", mark), *(mark.join(cells) for cells in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_texts_become_inputs_and_empty_numbers_the_mean_of_the_training_rows(tmp_path: Path) -> None:
    parts = ["train"] * 30 + ["test"] * 10 + ["dev"] * 10
    path = written(tmp_path, [[*row(n), part] for n, part in enumerate(parts)], names="age,colour,one,kind,part")
    task = TableClassification(path=path, label="kind", split="part")
    data = task.data()
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 10)
    assert data.classes == ("even", "odd")
    mean = np.mean([n + 0.5 for n in range(30) if n % 7])
    assert data.train.inputs[0].tolist() == pytest.approx([mean, 0, 1, 1])
    assert data.train.inputs[1].tolist() == [1.5, 1, 0, 1]
    assert data.train.inputs[2].tolist() == [2.5, 0, 0, 1]
    assert task.remarks() == (
        "columns of categories became an input for each of their values: colour (2)",
        "empty training cells were filled with their column's mean: age (5)",
        "columns of one value, from which nothing is learnt: one",
    )


def test_the_loader_reads_rows_as_the_table_has_them(tmp_path: Path) -> None:
    reading = TableClassification(path=written(tmp_path, [row(n) for n in range(40)])).data().reading
    assert "columns age, colour, one" in reading["raw"]
    mean = reading["columns"][0]["mean"]
    found = read(np.array([[3.5, "blue", 1], [None, "green", "2"]], dtype=object), reading)
    assert found.tolist() == [[3.5, 1, 0, 1], [pytest.approx(mean), 0, 0, 2]]
    assert read(found, reading).tolist() == found.tolist()
    with pytest.raises(ValueError, match="the column age holds numbers, came 'old'"):
        read(np.array([["old", "red", "1"]]), reading)
    with pytest.raises(ValueError, match=r"rows must be \[N, 3\] of the columns age, colour, one, not \[1, 2\]"):
        read(np.array([["1", "red"]]), reading)


def test_numbers_with_a_decimal_comma_beside_semicolons(tmp_path: Path) -> None:
    rows = [[f"{n},5", f"{n % 4}", f"{n},25"] for n in range(30)]
    task = Regression(path=written(tmp_path, rows, mark=";", names="a,b,price"))
    assert sorted(task.load().train[1][:, 0] % 1) == [0.25] * len(task.load().train[1])
    assert set(task.load().train[0][:, 0] % 1) == {0.5}
    assert read(np.array([["3,5", "1"], ["3.5", "-1e0"]]), task.data().reading).tolist() == [[3.5, 1], [3.5, -1]]
    with pytest.raises(ValueError, match="the column a holds numbers, came '1,234,567'"):
        read(np.array([["1,234,567", "1"]]), task.data().reading)
    (tmp_path / "points").mkdir()
    points = Regression(path=written(tmp_path / "points", [[f"{n}.5", "1", f"{n}"] for n in range(30)], names="a,b,c"))
    with pytest.raises(ValueError, match="the column a holds numbers, came '1,5'"):
        read(np.array([["1,5", "1"]]), points.data().reading)


def test_parquet_is_read_for_values_and_series(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": np.arange(60.0), "b": ["x", "y"] * 30, "c": np.arange(60) % 7})
    frame.loc[3, "a"] = np.nan
    frame.to_parquet(tmp_path / "rows.parquet")
    assert Regression(path=tmp_path / "rows.parquet").shapes().input == (3,)
    series = Forecasting(path=tmp_path / "rows.parquet", window=4, horizon=2, ignore=("a",))
    assert series.shapes().input == (4, 1)


@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        ({"age": "old"}, {}, "'old' is no number, most others are"),
        ({"kind": ""}, {}, "row 3: the column 'kind' is empty; give every row a class"),
        ({}, {"label": "age"}, "column 'age' has .* different values in 40 rows, which are hardly classes"),
        ({}, {"label": "knd"}, "has no column 'knd'; did you mean 'kind'"),
        ({}, {"ignore": ["age", "colour", "one"]}, "no column left for the inputs"),
        ({}, {"path": "rows.npz"}, "does not exist"),
    ],
)
def test_a_table_of_classes_that_cannot_be_used_is_refused(
    change: dict[str, str], settings: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    rows = [row(n) for n in range(40)]
    for name, text in change.items():
        rows[1][["age", "colour", "one", "kind"].index(name)] = text
    path = written(tmp_path, rows)
    with pytest.raises(DataError, match=sentence):
        TableClassification.parse({"path": path, **settings}).data()


def test_names_and_dates_are_refused_all_at_once(tmp_path: Path) -> None:
    rows = [[f"P {n}", f"2020-01-{n:02}", *row(n)] for n in range(1, 41)]
    with pytest.raises(
        DataError, match=r"'name' \(28 different .*'day' \(28 different .*under `ignore`: \[name, day\]"
    ):
        TableClassification(path=written(tmp_path, rows, names="name,day,age,colour,one,kind")).data()
    rows = [["", *row(n)] for n in range(40)]
    with pytest.raises(DataError, match="columns that are empty in all training rows: note; name them"):
        TableClassification(path=written(tmp_path, rows, names="note,age,colour,one,kind")).data()


def test_rows_of_numbers_in_memory_are_classified(tmp_path: Path) -> None:
    rows, labels = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
    task = TableClassification.from_arrays(rows, labels, folder=tmp_path)
    assert (task.shapes().input, task.shapes().output) == ((4,), 3)


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_column_that_names_the_rows_is_no_input(tmp_path: Path, name: str) -> None:
    rows = [[str(3 * n), f"{n % 5 + 0.5}", "low" if n < 30 else "high"] for n in range(60)]
    path = written(tmp_path, rows, names=f"{name},size,kind")
    task = TableClassification(path=path)
    assert task.shapes().input == (1,)
    assert task.data().reading["raw"] == "rows of a table with the columns size"
    assert task.remarks() == ("the first column has no name and names the rows, so it is no input",)
    assert Regression(path=path, columns=(name,), ignore=("kind",)).shapes().input == (1,)
    repeating = written(tmp_path, [[str(n % 9), *cells[1:]] for n, cells in enumerate(rows)], names=f"{name},size,kind")
    assert TableClassification(path=repeating, split_seed=1).shapes().input == (2,)


def test_columns_that_may_number_the_rows_are_told(tmp_path: Path) -> None:
    rows = [[str(1000 - n), str(n % 50), f"{n}.5", "a" if n % 2 else "b"] for n in range(100)]
    told = TableClassification(path=written(tmp_path, rows, names="customer,age,size,kind")).remarks()
    assert [line.split(":")[1].split(";")[0] for line in told] == [" customer"]


def test_of_a_column_of_many_texts_the_frequent_ones_are_inputs(tmp_path: Path) -> None:
    towns = [f"town {n % 60}" if n % 60 < 55 or n < 60 else "town 1" for n in range(1500)]
    rows = [[town, str(n % 7), "a" if n % 2 else "b"] for n, town in enumerate(towns)]
    task = TableClassification(path=written(tmp_path, rows, names="town,one,kind"))
    assert task.shapes().input == (56,)
    assert "town (55 of " in task.remarks()[0]
    found = read(np.array([["town 3", "1"], ["town 58", "1"], ["never seen", "1"]]), task.data().reading)
    assert found[:, :-1].sum(axis=1).tolist() == [1, 0, 0]


def test_missing_targets_are_counted(tmp_path: Path) -> None:
    rows = [[str(n % 9), "NA" if n % 3 else str(n % 6)] for n in range(60)]
    with pytest.raises(DataError, match="row 3, column 'price': 'NA' is no number, as in 39 more of 60 rows; write"):
        Regression(path=written(tmp_path, rows, names="a,price")).data()
    with pytest.raises(
        DataError, match="row 3: the column 'price' has 'NA', which counts as empty, as in 39 more of 60 rows; give"
    ):
        TableClassification(path=tmp_path / "rows.csv").data()
