"""One reader for all tables of text: the same rules and row numbers for rows, texts and lists of files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.forecasting import Forecasting
from netwright.tasks.kinds.table_classification import TableClassification
from netwright.tasks.kinds.text_classification import TextClassification
from netwright.tasks.stored import StoredTask

ROWS = [f"{place},{'uv'[place % 2]}" for place in range(30)]
TASKS: list[Callable[[Path], StoredTask]] = [
    lambda path: TableClassification(path=path, label="kind"),
    lambda path: TextClassification(path=path, text="word", label="kind", least=1),
]


def written(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["", "word,kind", "", *ROWS, "", "9,"], r"rows\.csv, row 35: the column 'kind' is empty"),
        (["word,kind", "  ", *ROWS, "9"], r"rows\.csv, row 33: 1 value for 2 columns"),
        (["word,kind", *ROWS, "9,u,v"], r"rows\.csv, row 32: 3 values for 2 columns"),
        (["word,kind", *ROWS, '9,"u', *ROWS], r'rows\.csv, row 32: a text begins with " and never ends; mend the row'),
        (["word,kind", *ROWS, "word,kind"], r"rows\.csv, row 32 repeats the row of names"),
        (["word,word,kind", *(f"1,{row}" for row in ROWS)], r"has two columns of one name: word, word, kind"),
    ],
)
def test_a_broken_row_is_told_by_its_number_in_the_file(
    tmp_path: Path, task: Callable[[Path], StoredTask], lines: list[str], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        task(written(tmp_path, *lines)).data()


@pytest.mark.parametrize("task", TASKS)
def test_blanks_around_names_and_cells_and_empty_rows_do_not_count(
    tmp_path: Path, task: Callable[[Path], StoredTask]
) -> None:
    tidy = task(written(tmp_path, "word,kind", *ROWS)).data()
    rows = [row.replace(",", " ,  ") + " " for row in ROWS]
    untidy = task(written(tmp_path, " word, kind ", "", *rows, "   ", "")).data()
    assert untidy.classes == tidy.classes == ("u", "v")
    assert untidy.fingerprint == tidy.fingerprint


def test_the_rows_of_a_series_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 6, column 'load': 'x' is no number"):
        Forecasting(path=written(tmp_path, "load", "1", "", "2", "3", "x", *map(str, range(90)))).data()


def test_columns_numbered_from_0_are_names(tmp_path: Path) -> None:
    data = TableClassification(path=written(tmp_path, "0,1,2", *(f"{n},{n / 7},{n % 2}" for n in range(30)))).data()
    assert [column["name"] for column in data.reading["columns"]] == ["0", "1"]


def test_a_text_may_be_as_long_as_it_likes(tmp_path: Path) -> None:
    long = "word " * 40_000
    data = TextClassification(
        path=written(tmp_path, "text,label", *(f"{long if n == 3 else n},{n % 2}" for n in range(30))), least=1
    ).data()
    assert data.classes == ("0", "1")


def test_a_text_of_a_json_line_may_hold_any_sign(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        json.dumps({"text": f"one\u2028two\x85{n % 3}", "label": "uv"[n % 2]}, ensure_ascii=False) for n in range(30)
    ]
    path.write_text("\r\n".join([*rows, ""]), encoding="utf-8", newline="")
    assert TextClassification(path=path).data().classes == ("u", "v")
    broken = tmp_path / "broken.jsonl"
    broken.write_text("\n".join([*rows[:4], "", '{"text": ', *rows[4:]]), encoding="utf-8")
    with pytest.raises(DataError, match=r"broken\.jsonl, row 6: Expecting value"):
        TextClassification(path=broken).data()


def test_a_long_cell_is_told_by_its_beginning(tmp_path: Path) -> None:
    path = written(tmp_path, "note,kind", *(f"{n} {'long ' * 99},{'uv'[n % 2]}" for n in range(40)))
    with pytest.raises(DataError, match=r"such as '.{60}…'\)") as refused:
        TableClassification(path=path).data()
    assert len(str(refused.value)) < 400
