"""NSGA-III, by Optuna."""

from __future__ import annotations

from typing import ClassVar

from netwright.nas.strategies.optuna_nsga2 import OptunaNsga2


class OptunaNsga3(OptunaNsga2):
    """Optuna's NSGA-III (Deb and Jain, 2014): reference directions instead of crowding, for many objectives.

    A suggestion that was tried before is mutated.
    """

    _sampler: ClassVar[str] = "NSGAIIISampler"
    _parents: ClassVar[int] = 2
