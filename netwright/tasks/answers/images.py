"""An image per sample: the outputs [N, channels, height, width] in the units of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def answers(outputs: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Images [N, channels, height, width] in the units of the data; `settings` has scale, mean and std."""
    mean, std = (np.asarray(settings[name], np.float32)[:, None, None] for name in ("mean", "std"))
    return np.asarray((outputs * std + mean) / np.float32(settings["scale"]))


def scores(outputs: np.ndarray, targets: np.ndarray, settings: Mapping[str, Any]) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB, the mean over images, and the mean squared error, in the units of the data.

    `loss` is the mean absolute or squared error of the standardised pixels, by `settings["loss"]`. The ratio of an
    image without any error is counted as 100 dB. Targets are [N, channels, height, width], or [N, height, width].
    """
    psnr, mse, loss = 0.0, 0.0, 0.0
    wanted = targets[:, None] if targets.ndim == 3 else targets
    wanted = wanted if wanted.shape[1:] == outputs.shape[1:] else np.moveaxis(wanted, 3, 1)
    std = np.asarray(settings["std"])[:, None, None] / settings["scale"]
    for output, image in zip(outputs, wanted, strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            error = answers(output[None], settings)[0].astype(np.float64) - image
            square = float(np.square(error).mean())
            ratio = settings["peak"] ** 2 / max(square, 1e-10 * settings["peak"] ** 2)
            mse, psnr = mse + square, psnr + 10 * float(np.log10(ratio))
            loss += float(np.abs(error / std).mean() if settings["loss"] == "l1" else np.square(error / std).mean())
    return {name: value / len(outputs) for name, value in (("psnr", psnr), ("mse", mse), ("loss", loss))}


def summary(found: Mapping[str, float], samples: int) -> str:
    """The scores in a line."""
    return f"psnr {found['psnr']!r} dB, mse {found['mse']!r} ({samples} samples)"
