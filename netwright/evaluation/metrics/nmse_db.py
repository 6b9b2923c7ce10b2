"""Error of predicted values relative to their power, in decibels."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class NmseDb(Metric):
    """Power of the error over the power of the values on the validation split, 10 log10 of it; -20 dB is a hundredth.

    What is left of an interference, a channel or a signal that was estimated; constant parts count as power.
    """

    unit: ClassVar[str] = "dB"
    direction: ClassVar[Direction] = "minimize"
