"""Share classified correctly, every class counting alike."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class BalancedAccuracy(Metric):
    """Mean over the classes of the share of each class that is found, from 0 to 1; for classes of unequal size."""

    direction: ClassVar[Direction] = "maximize"
