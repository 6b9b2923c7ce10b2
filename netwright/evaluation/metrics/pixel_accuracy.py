"""Share of pixels classified correctly."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class PixelAccuracy(Metric):
    """Share of validation pixels that the model classifies correctly, from 0 to 1."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "maximize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "pixel_accuracy")
