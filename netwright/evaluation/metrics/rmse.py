"""Root mean square error of predicted values."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class Rmse(Metric):
    """Root mean square error of the values on the validation split, in the units of the data."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "rmse")
