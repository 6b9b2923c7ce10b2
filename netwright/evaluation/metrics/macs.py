"""Multiply-accumulates of one inference."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class Macs(Metric):
    """Multiply-accumulates of convolutions and matrix products in one inference at batch 1."""

    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "cheap"

    def measure(self, subject: Subject) -> Measurement:
        return self.record(subject.cost().macs, batch=1)
