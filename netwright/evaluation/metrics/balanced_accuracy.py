"""Share classified correctly, every class counting alike."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class BalancedAccuracy(Metric):
    """Mean over the classes of the share of each class that is found, from 0 to 1; for classes of unequal size."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "maximize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "balanced_accuracy")
