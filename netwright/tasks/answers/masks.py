"""A class for every pixel: the highest of the outputs [N, classes, height, width]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Class numbers [N, height, width] of logits [N, classes, height, width]."""
    return np.asarray(outputs.argmax(axis=1))


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Mean intersection over union, mean Dice coefficient, share of right pixels, mean cross-entropy.

    All pixels of the split are counted together; classes that are neither there nor found are left out of the
    means, and so are pixels of the label `settings["ignore"]`. Targets are [N, height, width], or with an axis of 1.
    """
    count = outputs.shape[1]
    wanted = targets.reshape(len(outputs), *outputs.shape[2:]).astype(np.int64)
    table = np.zeros((count, count), np.int64)
    loss, pixels = 0.0, 0
    for logits, mask in zip(outputs, wanted, strict=True):
        known = np.ones(mask.shape, bool) if settings.get("ignore") is None else mask != settings["ignore"]
        flat, labels = logits[:, known].astype(np.float64), mask[known]
        table += np.bincount(count * labels + flat.argmax(axis=0), minlength=count * count).reshape(count, count)
        with np.errstate(invalid="ignore"):
            flat -= flat.max(axis=0, keepdims=True)
            loss += float((np.log(np.exp(flat).sum(axis=0)) - flat[labels, np.arange(len(labels))]).sum())
        pixels += len(labels)
    right = table.diagonal().astype(np.float64)
    either = table.sum(axis=0) + table.sum(axis=1) - right
    there = either > 0
    return {
        "mean_iou": float((right[there] / either[there]).mean()) if there.any() else 0.0,
        "dice": float((2 * right[there] / (either + right)[there]).mean()) if there.any() else 0.0,
        "pixel_accuracy": float(right.sum() / max(pixels, 1)),
        "loss": loss / max(pixels, 1),
    }


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    names = ("mean_iou", "dice", "pixel_accuracy")
    return ", ".join(f"{name} {found[name]!r}" for name in names) + f" ({samples} samples)"
