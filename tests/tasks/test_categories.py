"""Columns of numbers that name categories, such as zip codes: an input for each value, also in the bundle's loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.regression import Regression
from netwright.tasks.kinds.table_classification import TableClassification
from netwright.tasks.readers.tables import read

ZIPS = ("01234", "8010", "8020")


def table(folder: Path, name: str = "sales.csv") -> Path:
    path = folder / name
    rows = [[ZIPS[n % 3], f"{n % 4}.0" if n % 5 else "", f"{n / 2}", "much" if n % 3 else "little"] for n in range(60)]
    lines = ["zip,store,area,sold", *map(",".join, rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_numbers_that_name_categories_become_an_input_each(tmp_path: Path) -> None:
    task = TableClassification(path=table(tmp_path), categories=("zip", "store"))
    reading = task.data().reading
    assert [column.get("values") for column in reading["columns"]] == [[*ZIPS], ["0", "1", "2", "3"], None]
    assert task.shapes().input == (8,)
    assert task.remarks()[0] == "columns of categories became an input for each of their values: zip (3), store (4)"


def test_the_loader_takes_them_as_texts_or_numbers(tmp_path: Path) -> None:
    reading = TableClassification(path=table(tmp_path), categories=("zip", "store")).data().reading
    as_texts = read(np.array([["8010", "2.0", "3"], ["9", "", "4"]]), reading)
    assert as_texts.tolist() == [[0, 1, 0, 0, 0, 1, 0, 3], [0, 0, 0, 0, 0, 0, 0, 4]]
    assert read(np.array([[8010, 2, 3.0], [9, np.nan, 4]]), reading).tolist() == as_texts.tolist()


def test_whole_numbers_of_parquet_are_the_same_categories_where_cells_are_empty(tmp_path: Path) -> None:
    path = tmp_path / "sales.parquet"
    store = [None if n % 7 == 0 else n % 3 for n in range(60)]
    pd.DataFrame({"store": pd.array(store, "Int64"), "price": np.arange(60.0)}).to_parquet(path)
    (column,) = Regression(path=path, categories=("store",)).data().reading["columns"]
    assert column["values"] == ["0", "1", "2"]


def test_a_category_that_is_no_column_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'zipp'.*'zip'"):
        TableClassification(path=table(tmp_path), categories=("zipp",)).data()
    np.savez(tmp_path / "rows.npz", inputs=np.arange(40.0)[:, None], targets=np.arange(40.0))
    with pytest.raises(DataError, match=r"columns are named for a table; an \.npz file has none"):
        Regression(path=tmp_path / "rows.npz", categories=("zip",)).data()


def test_all_columns_that_teach_nothing_are_named_at_once_with_the_line_to_write(tmp_path: Path) -> None:
    lines = [f"{n},,NA,day {n},{n % 2}" for n in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,when,kind", *lines]), encoding="utf-8")
    said = r"empty in all training rows: b, c; texts that hardly repeat.*'when' .*under `ignore`: \[b, c, when\]"
    with pytest.raises(DataError, match=said):
        TableClassification(path=tmp_path / "rows.csv").data()
