"""The task of classifying sequences of one's own, from an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from netwright.tasks.data import Arrays
from netwright.tasks.npz_file import write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.stored import ArraysTask, ClassesTask


class SequenceClassification(ClassesTask, ArraysTask):
    """Classify sequences from an .npz file; each feature is standardised by the training samples.

    The file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`; inputs
    are [N, time] or [N, time, features].
    """

    path: DataPath = Field(description=".npz file with inputs [N, time] or [N, time, features] and targets [N]")

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        targets = np.arange(60) % 2
        time = np.linspace(0, 6, 24)[None, :, None]
        waves = np.sin(time * (1 + targets)[:, None, None] + rng.normal(0, 0.3, (60, 1, 2)))
        path = write_arrays(waves * np.array([1.0, 50.0]), targets, folder=folder, classes=("slow", "fast"))
        return {"path": str(path)}

    def load(self) -> Arrays:
        return self.numbered(self.sequences())
