"""Number of parameters."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class Params(Metric):
    """Number of trainable parameters, each counted once."""

    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "cheap"

    def measure(self, subject: Subject) -> Measurement:
        return self.record(subject.cost().params)
