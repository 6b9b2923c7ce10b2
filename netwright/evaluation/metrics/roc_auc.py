"""How well labels of samples are told apart from their absence."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class RocAuc(Metric):
    """Area under the ROC curve on the validation split, the mean over the labels: 1 is perfect, 0.5 is guessing."""

    direction: ClassVar[Direction] = "maximize"
