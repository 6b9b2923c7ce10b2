"""Size of the exported model file."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class SizeBytes(Metric):
    """Size of the exported model file on disk."""

    unit: ClassVar[str] = "B"
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "measured"

    def measure(self, subject: Subject) -> Measurement:
        path = subject.file()
        return self.record(path.stat().st_size, file=path.name)
