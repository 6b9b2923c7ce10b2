"""Any number of labels for a sample: the outputs [N, labels] above zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """0 or 1 for every label, [N, labels]: 1 where it is more likely there than not."""
    return (outputs > 0).astype(np.int64)


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Area under the ROC curve, F1 and the mean binary cross-entropy (`loss`), of the targets that are known.

    `roc_auc` is the mean over the labels that are there in some samples and not in others: the share of pairs of one
    with and one without in which the first gets the higher output, equal ones counting half; 0.5 tells nothing. Each
    of these labels, named by `settings["labels"]`, has an area of its own. `label_f1` is the harmonic mean of precision
    and recall over all labels. Targets are [N, labels] of 0 and 1, and negative where it is not known.
    """
    areas = {}
    names = settings.get("labels") or range(targets.shape[1])
    for name, given, wanted in zip(names, outputs.astype(np.float64).T, targets.T, strict=True):
        first, second = given[wanted == 1], np.sort(given[wanted == 0])
        if len(first) and len(second) and np.isfinite(given).all():
            below = np.searchsorted(second, first, side="left") + np.searchsorted(second, first, side="right")
            areas[f"roc_auc of {name}"] = float(below.mean()) / (2 * len(second))
    known = targets >= 0
    logits, wanted = outputs[known].astype(np.float64), targets[known].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        loss = np.maximum(logits, 0) - logits * wanted + np.log1p(np.exp(-np.abs(logits)))
    found = answers(logits, settings)
    both = 2 * float((found * wanted).sum())
    return {
        "roc_auc": float(np.mean(list(areas.values()))) if areas else 0.5,
        "label_f1": both / max(float(found.sum() + wanted.sum()), 1.0),
        "loss": float(loss.sum() / max(len(wanted), 1)),
        **(areas if len(areas) > 1 else {}),
    }


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    return ", ".join(f"{name} {value!r}" for name, value in found.items() if name != "loss") + f" ({samples} samples)"
