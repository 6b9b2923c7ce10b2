"""Share of pixels classified correctly."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class PixelAccuracy(Metric):
    """Share of validation pixels that the model classifies correctly, from 0 to 1."""

    direction: ClassVar[Direction] = "maximize"
