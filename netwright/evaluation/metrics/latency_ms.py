"""Time of one inference of the exported model in its runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from netwright.core.plugins import name_of
from netwright.core.records import Direction, Measurement
from netwright.evaluation.latency import measure_latency
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class LatencyMs(Metric):
    """Median time of one inference of the exported model, by the subject's latency protocol."""

    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "measured"

    def measure(self, subject: Subject) -> Measurement:
        found = measure_latency({"model": subject.session()}, subject.example, protocol=subject.latency)
        return replace(found["model"].to_measurement(), metric=name_of(self))
