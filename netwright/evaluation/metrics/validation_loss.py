"""The task's loss on the validation split."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction, Measurement
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Subject


class ValidationLoss(Metric):
    """The task's loss on the validation split; its unit is the task's."""

    direction: ClassVar[Direction] = "minimize"

    def measure(self, subject: Subject) -> Measurement:
        return self.score(subject, "loss")
