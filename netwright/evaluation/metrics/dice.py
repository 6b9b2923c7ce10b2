"""How well areas of a segmentation lie on the true ones, in the usual measure of medicine."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class Dice(Metric):
    """Dice coefficient (F1 of the pixels), the mean over the classes, from 0 to 1."""

    direction: ClassVar[Direction] = "maximize"
