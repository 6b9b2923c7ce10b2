"""Root mean square error of predicted values."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class Rmse(Metric):
    """Root mean square error of the values on the validation split, in the units of the data."""

    direction: ClassVar[Direction] = "minimize"
