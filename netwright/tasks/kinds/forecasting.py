"""The task of forecasting the next rows of a series, from a table or an array of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.tasks.data import AnyArray, Arrays, Pair
from netwright.tasks.paths import DataPath
from netwright.tasks.real_targets import Forecasts
from netwright.tasks.series import Series, series_of, windows
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
    series: str = Field(
        default="",
        description="name of a column that tells the rows of several series apart; each is cut into windows and parted "
        "by itself",
    )
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
        names, whose = self._found().names, " of one series" if self.series else ""
        made = f"windows are made of {self.window} rows{whose}, the oldest first, with the columns {', '.join(names)}"
        if not self.relative:
            return made
        last = "the last row of a window is subtracted from all its rows, and has to be added to the forecast rows"
        return f"{made}; {last}"

    def targets(self) -> Targets:
        return Forecasts(rows=self.horizon, training=self._training, relative=self.relative, columns=self.columns)

    def remarks(self) -> tuple[str, ...]:
        found = self._found()
        known = self._parted(found)
        short = [f"{name} ({len(rows)})" for name, rows in found.each().items() if name not in known]
        told = f"series too short for a window in every part are left out: {', '.join(short)}"
        return (*found.remarks, *([told] if short else []))

    def load(self) -> Arrays:
        found = self._found()
        columns = self._places(found.names)
        parts: dict[str, list[Pair]] = {"train": [], "validation": [], "test": []}
        for rows, ends in self._parted(found).values():
            for (part, pairs), (begin, end) in zip(parts.items(), pairwise((0, *ends)), strict=True):
                pairs.append(self._pair(rows, part, begin, end, columns=columns))
        train, validation, test = map(_joined, parts.values())
        return Arrays(train=train, validation=validation, test=test)

    def _found(self) -> Series:
        return series_of(self.path, ignore=self.ignore, by=self.series)

    def _parted(self, found: Series) -> dict[str, tuple[AnyArray, tuple[int, int, int]]]:
        """The rows of each series and the rows after the last one of each part, without series that are too short."""
        if self.series and self.parts is not None:
            raise DataError(f"{self.path}: `parts` counts the rows of one series; of several give the fractions alone")
        each = {name: (rows, self._ends(len(rows))) for name, rows in found.each().items()}
        if not self.series:
            return each
        long = {
            name: (rows, ends)
            for name, (rows, ends) in each.items()
            if all(end - max(begin, self.window) >= self.horizon for begin, end in pairwise((0, *ends)))
        }
        if not long:
            raise DataError(
                f"{self.path}: every series is too short for a window of {self.window} rows with {self.horizon} after "
                "it in every part; make window or horizon shorter"
            )
        return long

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
        found = self._found()
        places = self._places(found.names)
        return places, np.concatenate([rows[: ends[0], places] for rows, ends in self._parted(found).values()])

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


def _joined(pairs: Sequence[Pair]) -> Pair:
    """The windows of all series; those of a single one are not copied."""
    if len(pairs) == 1:
        return pairs[0]
    return np.concatenate([past for past, _ in pairs]), np.concatenate([after for _, after in pairs])
