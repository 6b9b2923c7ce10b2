"""Share of validation samples classified correctly."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class Accuracy(Metric):
    """Share of validation samples that the model classifies correctly, from 0 to 1."""

    direction: ClassVar[Direction] = "maximize"
