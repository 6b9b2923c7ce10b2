"""Share of the values' variance that is explained."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class R2(Metric):
    """Coefficient of determination on the validation split: 1 is perfect, 0 no better than the mean."""

    direction: ClassVar[Direction] = "maximize"
