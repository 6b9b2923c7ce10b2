"""Negative log-likelihood of a step."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric, MetricCost
from netwright.evaluation.subject import Subject


class Nll(Metric):
    """Negative log-likelihood per step of the validation sequences, in nats; summed over several labels."""

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = "minimize"
    cost: ClassVar[MetricCost] = "trained"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "nll")
