"""The next rows of a series: the outputs [N, rows * columns] in the units of the series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Forecasts [N, rows, columns]; `settings` has the mean and std of every output, and the number of rows."""
    values = outputs.astype(np.float64) * np.asarray(settings["std"]) + np.asarray(settings["mean"])
    return np.asarray(values.reshape(len(outputs), settings["rows"], -1))


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Root mean square and mean absolute error in the units of the series, over all rows and columns.

    `standardised_mse` (also the `loss`) is the mean squared error where every column is measured in deviations of its
    training part, so that columns of different units count alike. Targets are [N, rows, columns] or flat.
    """
    wanted = targets.reshape(outputs.shape).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = answers(outputs, settings).reshape(outputs.shape) - wanted
        standardised = float(np.square(error / np.asarray(settings["std"])).mean())
        return {
            "standardised_mse": standardised,
            "rmse": float(np.sqrt(np.square(error).mean())),
            "mae": float(np.abs(error).mean()),
            "loss": standardised,
        }


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    names = ("standardised_mse", "rmse", "mae")
    return ", ".join(f"{name} {found[name]!r}" for name in names) + f" ({samples} windows)"
