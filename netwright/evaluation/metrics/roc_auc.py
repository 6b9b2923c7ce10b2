"""How well labels of samples are told apart from their absence."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class RocAuc(Metric):
    """Area under the ROC curve on the validation split, the mean over the labels: 1 is perfect, 0.5 is guessing."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "maximize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "roc_auc")
