"""Mean squared error of forecasts, with every column in its own deviations."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class StandardisedMse(Metric):
    """Mean squared error of forecasts on the validation split, in squared deviations of each column in training."""

    direction: ClassVar[Direction] = "minimize"
