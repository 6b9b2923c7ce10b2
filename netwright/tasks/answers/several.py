"""Any number of labels for every step of a sequence: the outputs [N, time, labels] above zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """0 or 1 for every label, [N, time, labels]: 1 where it is more likely there than not."""
    return (outputs > 0).astype(np.int64)


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Negative log-likelihood per step (`nll`, also the `loss`): binary cross-entropy summed over the labels.

    `step_f1` is the harmonic mean of precision and recall over all labels of all steps. Targets are
    [N, time, labels] of 0 and 1; steps with negative targets are after the end of their sequence.
    """
    known = (targets >= 0).all(axis=2)
    wanted = targets[known].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        logits = outputs[known].astype(np.float64)
        nll = np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))
    mean = float(nll.sum() / max(len(wanted), 1))
    found = answers(logits, settings)
    both = 2 * float((found * wanted).sum())
    return {"nll": mean, "step_f1": both / max(float(found.sum() + wanted.sum()), 1.0), "loss": mean}


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    return f"nll {found['nll']!r}, step_f1 {found['step_f1']!r} ({samples} samples)"
