"""Peak activation memory of one inference."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class PeakActivationBytes(Metric):
    """The most bytes of activations alive at once during one inference at batch 1."""

    unit: ClassVar[str] = "B"
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "cheap"

    def measure(self, subject: Subject) -> Measurement:
        return self.record(subject.cost().peak_activation_bytes, batch=1)
