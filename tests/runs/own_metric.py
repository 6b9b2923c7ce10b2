"""Metrics of a user's own that follow from the architecture alone."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class Intensity(Metric):
    """Multiply-accumulates for each parameter."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "cheap"

    def measure(self, subject: Subject) -> Measurement:
        cost = subject.cost()
        return self.record(cost.macs / cost.params)


class Megabytes(Metric):
    """Size of the exported file, which is known before training but not without building the network."""

    unit: ClassVar[str] = "MB"
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "cheap"

    def measure(self, subject: Subject) -> Measurement:
        return self.record(subject.file().stat().st_size / 1e6)


class Unrecordable(Metric):
    """A value of numpy's, which is no number of JSON."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "measured"

    def measure(self, subject: Subject) -> Measurement:
        del subject
        return Measurement(metric="tests.runs.own_metric:Unrecordable", value=np.float32(1.5))
