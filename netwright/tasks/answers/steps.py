"""One class for every step of a sequence: the highest of the outputs [N, time, classes]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Class numbers [N, time] of logits [N, time, classes]."""
    return np.asarray(outputs.argmax(axis=2))


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Shares of right and of wrong steps, and mean negative log-likelihood per step (`nll`, also the `loss`).

    Targets are [N, time]; steps with a negative target are after the end of their sequence and do not count.
    """
    known = targets >= 0
    labels = targets[known].astype(np.int64)
    with np.errstate(invalid="ignore"):
        logits = outputs[known].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        nll = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    mean = float(nll.sum() / max(len(labels), 1))
    count = max(len(labels), 1)
    wrong = int((outputs[known].argmax(axis=1) != labels).sum())
    return {"step_accuracy": (len(labels) - wrong) / count, "step_error": wrong / count, "nll": mean, "loss": mean}


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    names = ("step_accuracy", "step_error", "nll")
    return ", ".join(f"{name} {found[name]!r}" for name in names) + f" ({samples} samples)"
