"""Precision and recall of several labels per sample."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class LabelF1(Metric):
    """Harmonic mean of precision and recall over all labels of all samples, from 0 to 1."""

    direction: ClassVar[Direction] = "maximize"
