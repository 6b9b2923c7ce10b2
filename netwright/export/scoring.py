"""The task's scores of an exported file: what it is worth as it will be deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from netwright.export.onnx_runtime import Session
    from netwright.tasks.data import Split
    from netwright.tasks.task import Task

BATCH = 256


def score_file(session: Session, task: Task, split: Split) -> dict[str, float]:
    """The task's scores of an exported model on a split, preprocessed and run in batches of 256.

    A file whose outputs depend on the other samples of a call gets one at a time, as it is timed.
    """
    preprocess = task.data().preprocessing
    size = 1 if session.batch_matters else BATCH
    outputs = [session(preprocess(split.inputs[i : i + size])) for i in range(0, len(split), size)]
    return dict(task.score(np.concatenate(outputs), split.targets))
