"""Negative log-likelihood of a step."""

from __future__ import annotations

from typing import ClassVar

from netwright.core.records import Direction
from netwright.evaluation.metric import Metric


class Nll(Metric):
    """Negative log-likelihood per step of the validation sequences, in nats; summed over several labels."""

    direction: ClassVar[Direction] = "minimize"
