"""The task of predicting real values from data of one's own: a table or an .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from netwright.tasks.data import AnyArray, Arrays, Preprocessing
from netwright.tasks.images import channels_first
from netwright.tasks.real_targets import RealValues
from netwright.tasks.stored import JudgedTask
from netwright.tasks.table import numbers
from netwright.tasks.table_task import TableTask
from netwright.tasks.targets import Targets


class Regression(JudgedTask, TableTask):
    """Predict one or more real values from a table or an .npz file; errors are in the units of the data.

    A .csv, .tsv or .parquet table has a first row of names; every column that is not a target is an input, and one of
    texts an input for each of its values. Empty cells are filled with the mean of the training rows. The .npz file
    holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`; inputs are rows [N, values],
    sequences [N, time, features] or images with four axes, targets [N] or [N, values]. Networks learn the targets
    standardised by the training samples; rmse, mae, R² and nmse_db are of the values themselves.
    """

    columns: tuple[str, ...] = Field(
        default=(), description="names of the target columns of a table; default: the last column"
    )
    judged_by: Literal["rmse", "mae", "r2", "nmse_db"] = Field(
        default="rmse", description="the score that models are judged by; nmse_db is error power over power in dB"
    )
    standardise: bool = Field(
        default=True,
        description="bring inputs and targets to mean 0 and deviation 1; false where a law ties values, as y = A x",
    )

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(80, 3)) * np.array([1.0, 10.0, 0.1])
        price = 200 + 30 * inputs[:, 0] - 2 * inputs[:, 1] + rng.normal(0, 1, 80)
        table = np.column_stack([inputs, price, np.sin(inputs[:, 0])])
        path = folder / "table.csv"
        np.savetxt(path, table, delimiter=",", header="a,b,c,price,wave", comments="")
        return {"path": str(path), "columns": ["price", "wave"]}

    def targets(self) -> Targets:
        return RealValues(standardise=self.standardise, columns=self.columns)

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        found = Preprocessing.of(inputs)
        return found if self.standardise else found.without()

    def wanted(self) -> tuple[str, ...]:
        return self.columns

    def made(self, columns: Mapping[str, AnyArray]) -> AnyArray:
        return numbers(self.path, columns)

    def arranged(self, found: Arrays) -> Arrays:
        return found.with_inputs(self._arranged)

    def _arranged(self, inputs: AnyArray) -> AnyArray:
        if inputs.ndim == 1:
            return inputs[:, None]
        return channels_first(inputs, where=self.where()) if inputs.ndim == 4 else inputs
