"""Forecasting: windows in the order of time, errors in the units of the series, sentences for what is wrong."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.forecasting import Forecasting
from netwright.tasks.kinds.regression import Regression

ROWS = np.column_stack([np.arange(100.0), 1000 * np.sin(np.arange(100.0))])


def table(folder: Path, name: str = "series.csv") -> Path:
    lines = [f"2020-01-01 {row:02d}:00,{rise:g},{wave:.4f}" for row, (rise, wave) in enumerate(ROWS)]
    text = "\n".join(["date,rise,wave", *lines]).encode()
    path = folder / name
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    with opened(path, "wb") as stream:  # type: ignore[operator]
        stream.write(text)
    return path


def task(path: Path, **settings: Any) -> Forecasting:
    return Forecasting.parse({"path": str(path), "window": 5, "horizon": 2, **settings})


def test_parts_follow_each_other_and_share_no_forecast_row(tmp_path: Path) -> None:
    data = task(table(tmp_path), columns=["rise"], parts=[60, 20, 10]).data()
    train, validation, test = data.train, data.validation, data.test.read()
    assert train.inputs.shape == (54, 5, 2)
    assert train.inputs[0, :, 0].tolist() == [0, 1, 2, 3, 4]
    assert train.targets[0].tolist() == [5, 6]
    assert (train.targets.min(), train.targets.max()) == (5, 59)
    assert (validation.targets.min(), validation.targets.max()) == (60, 79)
    assert (test.targets.min(), test.targets.max()) == (80, 89)
    assert validation.inputs[0, :, 0].tolist() == [55, 56, 57, 58, 59]


def test_a_stride_thins_the_training_windows_alone(tmp_path: Path) -> None:
    path = table(tmp_path)
    all_of_them, some = task(path).data(), task(path, stride=3).data()
    assert len(some.train) == -(-len(all_of_them.train) // 3)
    assert len(some.validation) == len(all_of_them.validation)


def test_columns_count_in_deviations_of_their_training_rows_and_errors_are_in_units(tmp_path: Path) -> None:
    found = task(table(tmp_path), parts=[60, 20, 20])
    data = found.data()
    std = ROWS[:60].std(axis=0)
    assert data.answers["std"] == pytest.approx([*std, *std], rel=1e-5)
    targets = data.validation.targets
    outputs = (targets - np.array(data.answers["mean"])) / np.array(data.answers["std"])
    outputs[:, 0::2] += 1 / std[0]  # the rise is one too high, the wave is right
    score = found.score(outputs.astype(np.float32), targets)
    assert score["rmse"] == pytest.approx(np.sqrt(0.5), rel=1e-3)
    assert score["mae"] == pytest.approx(0.5, rel=1e-3)
    assert score["standardised_mse"] == pytest.approx(0.5 / std[0] ** 2, rel=1e-3)
    kind = found.targets()
    assert kind.answers.answers(outputs, data.answers).shape == (len(targets), 2, 2)
    assert kind.gives(found.shapes().output) == "gives the next 2 rows of 2 columns"


def test_relative_forecasts_count_from_the_last_row_seen(tmp_path: Path) -> None:
    path = table(tmp_path)
    plain, relative = task(path, columns=["wave"]), task(path, columns=["wave"], relative=True)
    past, after = plain.data().test.read().inputs, plain.data().test.read().targets
    found = relative.data().test.read()
    assert np.allclose(found.inputs, past - past[:, -1:], atol=1e-3)
    assert np.allclose(found.targets, after - past[:, -1, 1:], atol=1e-3)
    assert relative.data().answers["mean"] == [0, 0]
    assert "added to the forecast" in relative.prepared()
    assert plain.prepared() == "windows are made of 5 rows, the oldest first, with the columns rise, wave"


@pytest.mark.parametrize("name", ["series.csv.gz", "series.csv.xz"])
def test_compressed_tables_are_read_as_the_plain_ones(tmp_path: Path, name: str) -> None:
    plain = task(table(tmp_path)).data()
    assert task(table(tmp_path, name)).data().fingerprint == plain.fingerprint
    settings = {"path": str(tmp_path / name), "ignore": ["date"]}
    assert Regression.parse(settings).shapes().input == (1,)


def test_an_npz_file_holds_one_array_and_perhaps_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "bare.npz", prices=ROWS)
    np.savez(tmp_path / "named.npz", prices=ROWS, names=["rise", "wave"])
    np.savez(tmp_path / "one.npz", ROWS[:, 0])
    bare, named = task(tmp_path / "bare.npz", columns=["1"]), task(tmp_path / "named.npz", columns=["wave"])
    assert bare.data().fingerprint == named.data().fingerprint
    assert task(tmp_path / "named.npz", ignore=["rise"]).shapes().input == (5, 1)
    assert task(tmp_path / "one.npz").shapes().input == (5, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": ["wabe"]}, r"no column .wabe.; did you mean .wave.\? \(known: rise, wave\)"),
        ({"columns": ["date"]}, "no column 'date'"),
        ({"ignore": ["rise", "wave"]}, "no column of numbers"),
        ({"parts": [90, 20, 20]}, "has 100 rows, which cannot be parted into"),
        ({"horizon": 40}, "rows 70 to 85 hold no window of 5 rows with 40 after it.*shorter"),
        ({"window": 90}, "train part: rows 0 to 70 hold no window"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        task(table(tmp_path), **settings).data()


def test_holes_and_wrong_arrays_are_refused(tmp_path: Path) -> None:
    holes = ROWS.copy()
    holes[3, 1] = np.nan
    np.savez(tmp_path / "holes.npz", holes)
    np.savez(tmp_path / "two.npz", x=ROWS, y=ROWS)
    np.savez(tmp_path / "names.npz", x=ROWS, names=["a", "a"])
    np.savez(tmp_path / "cube.npz", x=ROWS[None])
    for name, words in (
        ("holes", "1 of 200 values that are nan"),
        ("two", "holds x, y; give one array"),
        ("names", "2 columns and 1 different names"),
        ("cube", r"shape \(1, 100, 2\); give numbers"),
        ("missing", "does not exist"),
    ):
        with pytest.raises(DataError, match=words):
            task(tmp_path / f"{name}.npz").data()
    (tmp_path / "bad.csv.xz").write_bytes(b"not compressed")
    with pytest.raises(DataError, match="cannot be read as a table"):
        task(tmp_path / "bad.csv.xz").data()


def test_windows_larger_than_memory_are_refused_before_they_are_made(tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", np.zeros((4000, 1000), np.float16))
    with pytest.raises(DataError, match=r"windows take .* GiB; set a stride"):
        task(tmp_path / "wide.npz", window=2000, horizon=1, parts=[3900, 50, 50]).data()


@pytest.mark.parametrize("relative", [False, True])
def test_repeating_the_last_row_is_known_in_all_units(tmp_path: Path, relative: bool) -> None:
    found = task(table(tmp_path), columns=["rise"], relative=relative).naive()
    assert found is not None
    assert found[0] == "repeating the last row"
    assert found[1]["mae"] == pytest.approx(1.5, rel=1e-4)  # one too low after a row, two after two
    other = task(table(tmp_path), columns=["rise"], relative=relative)
    assert other.naive(other.test_split()) == (found[0], pytest.approx(found[1], rel=1e-4))  # it rises everywhere alike
    assert found[1]["standardised_mse"] == pytest.approx(2.5 / ROWS[:70, 0].var(), rel=1e-4)


def dated(folder: Path, dates: list[str], values: list[str] | None = None) -> Forecasting:
    cells = values or [str(n * n % 17) for n in range(len(dates))]
    path = folder / "dated.csv"
    path.write_text("\n".join(["day,load", *map(",".join, zip(dates, cells, strict=True))]))
    return task(path)


DAYS = [f"{day}/{month}/2021" for month in (1, 2, 3) for day in range(1, 29)]


def test_rows_that_are_not_in_the_order_of_time_are_refused(tmp_path: Path) -> None:
    assert dated(tmp_path, DAYS[:28]).remarks() == ("columns of texts are left out: day",)
    with pytest.raises(DataError, match=r"row 3: the date goes back, to 2021-03-27; sort the rows by time, the oldest"):
        dated(tmp_path, DAYS[::-1]).data()
    with pytest.raises(DataError, match="42 of 84 rows have the date of the row before; give one row per step of time"):
        dated(tmp_path, [day for day in DAYS[:42] for _ in range(2)]).data()
    assert len(task(tmp_path / "dated.csv", ignore=["day"]).data().train)


def test_steps_of_time_that_are_missing_are_told_and_a_clock_may_be_put_back(tmp_path: Path) -> None:
    told = dated(tmp_path, DAYS).remarks()[1]
    assert "after 1 of 84 the date 'day' grows by more than usual, most from 2021-01-28 to 2021-02-01" in told
    hours = [f"2021-10-31 {n:02d}:00" for n in (0, 1, 2, 2, *range(3, 24))]
    assert len(dated(tmp_path, [*hours, *(f"2021-11-01 {n:02d}:00" for n in range(24))]).remarks()) == 1
    months = [f"{year}-{month:02d}-01" for year in range(2000, 2008) for month in range(1, 13)]
    assert len(dated(tmp_path, months).remarks()) == 1


def test_empty_cells_have_the_value_above_them(tmp_path: Path) -> None:
    values = ["NA", "", *(str(n) for n in range(2, 84))]
    values[50:53] = ["", "?", "nan"]
    found = dated(tmp_path, DAYS, values)
    assert "empty cells have the value above them: load (5)" in found.remarks()
    inputs = found.data().train.inputs[:, :, 0]
    assert inputs[0].tolist() == [2, 2, 2, 3, 4]
    assert inputs[48].tolist() == [48, 49, 49, 49, 49]


def test_a_column_that_counts_the_rows_is_told_and_one_without_a_name_left_out(tmp_path: Path) -> None:
    lines = [f"{n},{1990 + n},{n * n % 13}" for n in range(60)]
    (tmp_path / "years.csv").write_text("\n".join([",year,load", *lines]))
    found = task(tmp_path / "years.csv")
    assert found.shapes().input == (5, 2)
    assert found.remarks() == ("columns that grow by the same step in every row, as clocks do, are values too: year",)


def test_what_is_forecast_is_named(tmp_path: Path) -> None:
    made = task(table(tmp_path), columns=["wave"], horizon=3)
    assert made.targets().gives(3) == "gives the next 3 rows of 1 column: wave"
    assert task(tmp_path / "series.csv", horizon=1).targets().gives(2) == "gives the next row of 2 columns"
