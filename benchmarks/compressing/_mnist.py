"""MNIST as a task: the given test part, validation samples taken from the training part."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from pydantic import Field

from netwright.core.errors import DataError
from netwright.tasks.data import Arrays
from netwright.tasks.task import Task


class Mnist(Task):
    """Handwritten digits, 60,000 images of 28x28 to train on and 10,000 to test (LeCun et al., 1998)."""

    validation_fraction: float = Field(default=1 / 12, description="5,000 samples")
    calibration_samples: int = Field(default=1024, ge=1, description="training samples that passes look at")

    def load(self) -> Arrays:
        path = Path(os.environ.get("NETWRIGHT_DATA", Path(__file__).parents[2] / "../shared/data")) / "mnist/mnist.npz"
        if not path.is_file():
            raise DataError(f"no data at {path}: set NETWRIGHT_DATA to the folder that holds mnist/mnist.npz")
        with np.load(path) as stored:
            train, test = ((stored[f"x_{p}"][:, None], stored[f"y_{p}"].astype(np.int64)) for p in ("train", "test"))
        return Arrays(train=train, test=test)
