"""How well areas of a segmentation lie on the true ones."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class MeanIou(Metric):
    """Intersection over union of found and true pixels, the mean over the classes, from 0 to 1."""

    direction: ClassVar[Direction] = "maximize"
