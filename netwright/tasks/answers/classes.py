"""One class per sample: the highest of the outputs [N, classes]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Class numbers [N] of logits [N, classes]."""
    return np.asarray(outputs.argmax(axis=1))


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Scores of logits [N, classes] against class numbers [N] or [N, 1].

    Accuracy, the mean cross-entropy, and the mean over the classes that are there of the share of each that was found.
    """
    wanted = targets.reshape(len(outputs))
    with np.errstate(invalid="ignore"):  # logits that are not finite give a loss of nan
        logits = outputs.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = np.take_along_axis(logits, wanted[:, None], axis=1)[:, 0]
        loss = np.log(np.exp(logits).sum(axis=1)) - chosen
    right = answers(outputs, settings) == wanted
    shares = [float(right[wanted == label].mean()) for label in np.unique(wanted)]
    return {
        "accuracy": float(np.mean(right)),
        "balanced_accuracy": float(np.mean(shares)),
        "loss": float(loss.mean()),
    }


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    right = f"accuracy {found['accuracy']!r} ({round(found['accuracy'] * samples)} of {samples})"
    return f"{right}, balanced_accuracy {found['balanced_accuracy']!r}"
