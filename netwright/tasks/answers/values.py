"""Real values per sample: the outputs [N, values] in the user's units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Values [N, values] in the units of the data; `settings` has the mean and std of each in training."""
    return np.asarray(outputs.astype(np.float64) * np.asarray(settings["std"]) + np.asarray(settings["mean"]))


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Root mean square error, mean absolute error and R² (mean over the values), in the units of the data.

    `nmse_db` is the power of the error over the power of the targets in dB, at least -200; `loss` the mean squared
    error of the standardised values. Targets are [N] or [N, values].
    """
    wanted = targets.reshape(outputs.shape).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        error = answers(outputs, settings) - wanted
        spread = np.square(wanted - wanted.mean(axis=0)).sum(axis=0)
        # A value that is the same in all samples has no spread to explain; its share is left out.
        shares = 1 - np.square(error).sum(axis=0)[spread > 0] / spread[spread > 0]
        left = np.square(error).sum() / max(float(np.square(wanted).sum()), 1e-300)
        return {
            "rmse": float(np.sqrt(np.square(error).mean())),
            "mae": float(np.abs(error).mean()),
            "r2": float(shares.mean()) if len(shares) else 0.0,
            "nmse_db": float(10 * np.log10(max(left, 1e-20))),
            "loss": float(np.square(error / np.asarray(settings["std"])).mean()),
        }


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    names = ("rmse", "mae", "r2", "nmse_db")
    return ", ".join(f"{name} {found[name]!r}" for name in names) + f" ({samples} samples)"
