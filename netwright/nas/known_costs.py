"""What an architecture costs is known before it is paid for: how a strategy asks, and how it uses the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions, Objective
from netwright.core.shapes import Shapes
from netwright.nas.evidence import Key, key_of
from netwright.search_spaces.space import SearchSpace

COUNTED = frozenset({"params", "macs", "peak_activation_bytes"})
"""Metrics that follow from the decisions alone."""

Costs = Mapping[str, float]


class KnownCosts(ABC):
    """Objectives whose values are known of every architecture, also of one that was never trained."""

    @property
    @abstractmethod
    def metrics(self) -> frozenset[str]:
        """Their names."""

    @abstractmethod
    def of(self, space: SearchSpace, decisions: Decisions) -> Costs | None:
        """The values of `metrics`, or None for decisions that make no network."""

    def among(self, objectives: Sequence[Objective]) -> list[int]:
        """The places of the objectives that are known."""
        return [place for place, objective in enumerate(objectives) if objective.metric in self.metrics]

    def losses(
        self, space: SearchSpace, decisions: Decisions, objectives: Sequence[Objective]
    ) -> dict[int, float] | None:
        """The losses of the known objectives by their place, or None where a bound is broken or there is no network."""
        places = self.among(objectives)
        if not places:
            return {}
        costs = self.of(space, decisions)
        if costs is None:
            return None
        found = {}
        for place in places:
            objective = objectives[place]
            if not objective.satisfied_by(costs[objective.metric]):
                return None
            found[place] = objective.loss(costs[objective.metric])
        return found


@dataclass(frozen=True)
class CountedCosts(KnownCosts):
    """Parameters, multiply-accumulates and peak activation memory for a task's shapes, counted from the outline."""

    shapes: Shapes
    _counted: dict[Key, Costs | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def metrics(self) -> frozenset[str]:
        return COUNTED

    def of(self, space: SearchSpace, decisions: Decisions) -> Costs | None:
        key = key_of(decisions)
        if key not in self._counted:
            try:
                cost = space.cost(decisions, self.shapes)
            except SpaceError:  # ShapeError is one: the decisions make no network for these shapes
                self._counted[key] = None
            else:
                self._counted[key] = {name: float(getattr(cost, name)) for name in COUNTED}
        return self._counted[key]


class _Nothing(KnownCosts):
    """No objective is known beforehand."""

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset()

    def of(self, space: SearchSpace, decisions: Decisions) -> Costs | None:
        del space, decisions
        return {}


NOTHING: KnownCosts = _Nothing()
