"""Tables as spreadsheets write them are read; what is no table with names is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from netwright.core.errors import DataError
from netwright.tasks.table import read_rows


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_may_be_separated_by_commas_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b,price\n1,2,3\n4,5,6\n".replace(",", mark))
    found = {name: cells.tolist() for name, cells in read_rows(path).items()}
    assert found == {"a": ["1", "4"], "b": ["2", "5"], "price": ["3", "6"]}


def test_a_column_takes_the_room_of_its_own_texts_and_one_without_name_and_cells_is_none(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"a,b,,\n1,{'long ' * 1000},,\n4,5,,\n")
    found = read_rows(path)
    assert list(found) == ["a", "b"]
    assert found["a"].nbytes == 8


def test_a_table_without_names_is_refused_and_no_row_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("0.5,1e3,2\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError, match="begins with a row of values; put a row of names above"):
        read_rows(path)
