"""Mean squared error of forecasts, with every column in its own deviations."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class StandardisedMse(Metric):
    """Mean squared error of forecasts on the validation split, in squared deviations of each column in training."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "standardised_mse")
