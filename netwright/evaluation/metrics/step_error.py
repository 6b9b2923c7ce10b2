"""Share of steps of sequences whose class is wrong."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class StepError(Metric):
    """Share of steps of the validation split whose class is wrong: the bit error rate of a decoder of bits."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "step_error")
