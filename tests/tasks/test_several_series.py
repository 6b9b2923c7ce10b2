"""Several series in one table, of unequal length: each is cut and parted by itself, none runs into another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from netwright.core.errors import DataError
from netwright.tasks.kinds.forecasting import Forecasting

LENGTHS = {"a": 60, "b": 40, "short": 5}


def sales(folder: Path, *, interleaved: bool, skipped: int = -1) -> Path:
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(60), unit="D")
    rows = [
        (shop, days[n], 1000 * place + n) for place, (shop, many) in enumerate(LENGTHS.items()) for n in range(many)
    ]
    frame = pd.DataFrame(rows, columns=["shop", "day", "sold"]).drop(index=[skipped] if skipped >= 0 else [])
    frame = frame.sort_values("day", kind="stable") if interleaved else frame
    frame.to_csv(folder / "sales.csv", index=False)
    return folder / "sales.csv"


@pytest.mark.parametrize("interleaved", [False, True])
def test_windows_stay_in_their_series_and_every_series_has_its_later_rows_in_test(
    tmp_path: Path, interleaved: bool
) -> None:
    task = Forecasting(path=sales(tmp_path, interleaved=interleaved), series="shop", window=4, horizon=2)
    data = task.data()
    test = data.test.read()
    for split in (data.train, data.validation, test):
        steps = np.concatenate([split.inputs[:, :, 0], split.targets], axis=1)
        assert (np.diff(steps, axis=1) == 1).all()
    assert sorted(np.unique(test.targets).tolist()) == [*range(51, 60), *range(1034, 1040)]
    assert not set(np.unique(data.train.targets)) & set(np.unique(test.targets))
    training = np.concatenate([np.arange(42), 1000 + np.arange(28)])
    assert data.answers["mean"] == pytest.approx([training.mean()] * 2)
    assert "series too short for a window in every part are left out: short (5)" in task.remarks()
    assert "of one series" in task.prepared()


def test_a_gap_is_told_with_its_series(tmp_path: Path) -> None:
    path = sales(tmp_path, interleaved=True, skipped=70)
    task = Forecasting(path=path, series="shop", window=4, horizon=2)
    (told,) = [line for line in task.remarks() if "equally far apart" in line]
    assert told.startswith("series 'b': rows count as equally far apart")


def test_what_does_not_go_with_several_series_is_said(tmp_path: Path) -> None:
    path = sales(tmp_path, interleaved=True)
    with pytest.raises(DataError, match=r"the date goes back.*as `series`"):
        Forecasting(path=sales(tmp_path, interleaved=False), window=4, horizon=2).data()
    with pytest.raises(DataError, match="no column 'shp'"):
        Forecasting(path=path, series="shp").data()
    with pytest.raises(DataError, match="every series is too short for a window of 96 rows with 24 after it in every"):
        Forecasting(path=path, series="shop").data()
    with pytest.raises(DataError, match="`parts` counts the rows of one series"):
        Forecasting(path=path, series="shop", parts=(5, 5, 5)).data()
