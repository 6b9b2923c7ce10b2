"""Precision and recall of several labels per sample."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class LabelF1(Metric):
    """Harmonic mean of precision and recall over all labels of all samples, from 0 to 1."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "maximize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "label_f1")
