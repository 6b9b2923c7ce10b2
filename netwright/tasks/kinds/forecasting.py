"""The task of forecasting the next rows of a series, from a table or an array of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair
from netwright.tasks.paths import DataPath
from netwright.tasks.real_targets import Forecasts
from netwright.tasks.series import series_of, windows
from netwright.tasks.stored import JudgedTask, StoredTask
from netwright.tasks.table import check_names
from netwright.tasks.targets import Targets


class Forecasting(JudgedTask, StoredTask):
    """Forecast the next rows of a series from a window of past ones; the parts follow each other in time.

    A .csv table has a first row of names and a row for every step, the oldest first; columns of texts, such as dates,
    are left out, but dates must be in order; an empty cell has the value above it. An .npz file holds one array [time]
    or [time, columns], and `names` if wanted. The first rows are for training, then come those for validation and test;
    no forecast row is in two parts. Errors are in the units of the series; `standardised_mse` measures every column in
    deviations of its training rows, as in the published tables of long-term forecasting (Zhou et al.,
    arXiv:2012.07436).
    """

    path: DataPath = Field(description=".csv table (also .csv.gz or .csv.xz) or .npz file, a row per step of time")
    window: int = Field(default=96, ge=1, description="rows that a forecast is made from")
    horizon: int = Field(default=24, ge=1, description="rows that are forecast, right after the window")
    columns: tuple[str, ...] = Field(default=(), description="names of the columns to forecast; default: all")
    ignore: tuple[str, ...] = Field(default=(), description="names of columns that are neither inputs nor forecast")
    relative: bool = Field(
        default=False,
        description="windows and forecasts count from the window's last row, which suits series that drift",
    )
    judged_by: Literal["standardised_mse", "rmse", "mae"] = Field(
        default="standardised_mse", description="the score that models are judged by"
    )
    parts: tuple[int, int, int] | None = Field(
        default=None, description="rows for training, validation and test; default: by test_fraction and so on"
    )
    stride: int = Field(default=1, ge=1, description="rows between one training window and the next")

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        time = np.arange(240)
        load = 50 + 10 * np.sin(time / 4) + rng.normal(0, 1, 240)
        lines = [f"day {step},{one:.3f},{step % 7}" for step, one in zip(time, load, strict=True)]
        path = folder / "load.csv"
        path.write_text("\n".join(["date,load,weekday", *lines]), encoding="utf-8")
        return {"path": str(path), "window": 12, "horizon": 3, "columns": ["load"]}

    def prepared(self) -> str:
        names = series_of(self.path, ignore=self.ignore).names
        made = f"windows are made of {self.window} rows, the oldest first, with the columns {', '.join(names)}"
        if not self.relative:
            return made
        last = "the last row of a window is subtracted from all its rows, and has to be added to the forecast rows"
        return f"{made}; {last}"

    def targets(self) -> Targets:
        return Forecasts(rows=self.horizon, training=self._training, relative=self.relative)

    def remarks(self) -> tuple[str, ...]:
        return series_of(self.path, ignore=self.ignore).remarks

    def load(self) -> Arrays:
        found = series_of(self.path, ignore=self.ignore)
        names, rows = found.names, found.rows
        columns = self._places(names)
        train, validation, test = self._ends(len(rows))
        bounds = {"train": (0, train), "validation": (train, validation), "test": (validation, test)}
        pairs = {part: self._pair(rows, part, *ends, columns=columns) for part, ends in bounds.items()}
        return Arrays(train=pairs["train"], validation=pairs["validation"], test=pairs["test"])

    def _pair(self, rows: AnyArray, part: str, begin: int, end: int, *, columns: list[int]) -> Pair:
        past, after = windows(
            rows,
            inputs=self.window,
            outputs=self.horizon,
            begin=begin,
            end=end,
            stride=self.stride if part == "train" else 1,
            columns=columns,
            where=f"{self.path}, {part} part",
        )
        if self.relative:
            last = past[:, -1:]
            past, after = past - last, after - last[:, :, columns]
        return past, after.reshape(len(after), -1)

    def _training(self) -> tuple[list[int], AnyArray]:
        """The places of the columns that are forecast, and their training rows."""
        found = series_of(self.path, ignore=self.ignore)
        places = self._places(found.names)
        return places, found.rows[: self._ends(len(found.rows))[0], places]

    def _places(self, names: list[str]) -> list[int]:
        check_names(self.path, self.columns, names)
        return [names.index(name) for name in self.columns or names]

    def _ends(self, rows: int) -> tuple[int, int, int]:
        """The rows after the last one of each part."""
        if self.parts is None:
            test, validation = (round(rows * share) for share in (self.test_fraction, self.validation_fraction))
            return rows - test - validation, rows - test, rows
        if min(self.parts) < 1 or sum(self.parts) > rows:
            raise DataError(f"{self.path} has {rows} rows, which cannot be parted into {list(self.parts)}")
        train, validation, test = self.parts
        return train, train + validation, train + validation + test
