"""Share of steps of sequences whose class is wrong."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class StepError(Metric):
    """Share of steps of the validation split whose class is wrong: the bit error rate of a decoder of bits."""

    direction: ClassVar[Direction] = "minimize"
