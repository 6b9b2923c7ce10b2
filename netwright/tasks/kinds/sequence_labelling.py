"""The task of labelling every step of a sequence, from an .npz file of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from netwright.tasks.data import AnyArray, Arrays, Preprocessing
from netwright.tasks.label_targets import ENDED, StepClasses, StepLabels
from netwright.tasks.labels import numbered
from netwright.tasks.npz_file import write_arrays
from netwright.tasks.paths import DataPath
from netwright.tasks.stored import ArraysTask, JudgedTask
from netwright.tasks.targets import Targets


class SequenceLabelling(JudgedTask, ArraysTask):
    """Tell the class of every step of a sequence, or with `several` which of many labels every step has.

    The .npz file holds `x_train` and `y_train` (and `x_test` and `y_test`), or `inputs` and `targets`: inputs
    [N, time] or [N, time, features], targets [N, time] of class numbers or texts, or [N, time, labels] of 0 and 1.
    Sequences of unequal length are filled up to one length; the targets of filled steps are -1, or empty texts, and
    do not count.
    Classes are judged by the share of right steps; labels by the negative log-likelihood per step, the binary
    cross-entropy summed over the labels, as is usual for polyphonic music (Bai et al., arXiv:1803.01271).
    """

    path: DataPath = Field(description=".npz file with inputs [N, time, features] and a target for every step")
    several: bool = Field(default=False, description="a step may have several labels, or none: [N, time, labels]")
    judged_by: Literal["step_accuracy", "step_error", "nll", "step_f1"] | None = Field(
        default=None,
        description="the score that models are judged by; default: step_accuracy, or nll with `several`, which alone "
        "has step_f1",
    )
    standardise: bool = Field(
        default=True, description="bring every feature to mean 0 and deviation 1; false leaves inputs of 0 and 1 alone"
    )

    @classmethod
    def example_settings(cls, folder: Path) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(60, 20, 2)) * np.array([1.0, 50.0])
        targets = (np.cumsum(inputs[..., 0], axis=1) > 0).astype(np.int64)
        for number, length in enumerate(rng.integers(12, 21, 60)):
            inputs[number, length:], targets[number, length:] = 0, -1
        return {"path": str(write_arrays(inputs, targets, folder=folder, classes=("below", "above")))}

    def targets(self) -> Targets:
        return StepLabels() if self.several else StepClasses()

    def preprocess(self, inputs: AnyArray) -> Preprocessing:
        found = Preprocessing.of(inputs)
        return found if self.standardise else found.without()

    def load(self) -> Arrays:
        found = self.sequences()
        texts = not self.several and found.train[1].dtype.kind in "US"
        return numbered(found, where=str(self.path), blank=ENDED) if texts else found
