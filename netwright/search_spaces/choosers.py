"""The choosers: draw at random, replay, mutate, cross over, go near, enumerate."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.domain import Categorical, Domain, Subset, Value

FEW = 4096
"""So many values are listed; of more, one is drawn until it differs."""


class RandomChooser(Chooser):
    """Draws every decision evenly."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        return domain.draw(self._rng)


class ReplayChooser(Chooser):
    """Answers with given decisions; refuses a missing, foreign or left-over one.

    A decision that has one option only need not be given.
    """

    def __init__(self, decisions: Decisions) -> None:
        super().__init__()
        self._given = decisions

    def draw(self, name: str, domain: Domain) -> Value:
        if name not in self._given:
            if domain.size == 1:
                return domain.values()[0]
            raise SpaceError(f"the decision {name!r} is missing; expected {domain.describe()}")
        value = self._given[name]
        if isinstance(value, list):
            value = tuple(value)
        if not domain.holds(value):
            raise SpaceError(f"the decision {name!r} is {value!r:.200}; expected {domain.describe()}")
        return value

    def check_all_used(self) -> None:
        """Raise SpaceError when a given decision was never asked for."""
        extra = [name for name in self._given if name not in self.decisions]
        if extra:
            more = f" and {len(extra) - 5} more" if len(extra) > 5 else ""
            raise SpaceError(f"the space never asks for {', '.join(f'{name!r:.100}' for name in extra[:5])}{more}")


class MutateChooser(Chooser):
    """Keeps a parent's decisions but gives one of them another value; new branches are drawn."""

    def __init__(self, parent: Decisions, changed: str, rng: random.Random) -> None:
        super().__init__()
        self._parent = parent
        self._changed = changed
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        kept = _kept(self._parent, name, domain)
        if name == self._changed:
            return _another(domain, kept, self._rng)
        return domain.draw(self._rng) if kept is None else kept


class CrossoverChooser(Chooser):
    """Takes each decision from one of two parents, by a fair coin; what neither has is drawn."""

    def __init__(self, left: Decisions, right: Decisions, rng: random.Random) -> None:
        super().__init__()
        self._parents = (left, right)
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        first = self._rng.randrange(2)
        for parent in (self._parents[first], self._parents[1 - first]):
            kept = _kept(parent, name, domain)
            if kept is not None:
                return kept
        return domain.draw(self._rng)


class NearestChooser(Chooser):
    """Answers with given decisions where they are allowed, and with the first option where not."""

    def __init__(self, given: Decisions) -> None:
        super().__init__()
        self._given = given

    def draw(self, name: str, domain: Domain) -> Value:
        kept = _kept(self._given, name, domain)
        return _first(domain) if kept is None else kept


class _PrefixChooser(Chooser):
    """Takes the first value of every domain beyond a given prefix of choices; for enumeration."""

    def __init__(self, prefix: list[int]) -> None:
        super().__init__()
        self._prefix = prefix
        self.indices: list[int] = []
        self.sizes: list[int] = []

    def draw(self, name: str, domain: Domain) -> Value:
        values = domain.values()
        index = self._prefix[len(self.indices)] if len(self.indices) < len(self._prefix) else 0
        self.indices.append(index)
        self.sizes.append(len(values))
        return values[index]


def enumerate_decisions(decide: Callable[[Chooser], Any]) -> Iterator[Mapping[str, Value]]:
    """Every set of decisions of a finite space, in lexicographic order of the questions."""
    prefix: list[int] = []
    while True:
        chooser = _PrefixChooser(prefix)
        decide(chooser)
        yield chooser.decisions
        indices, sizes = chooser.indices, chooser.sizes
        while indices and indices[-1] + 1 >= sizes[len(indices) - 1]:
            indices.pop()
        if not indices:
            return
        indices[-1] += 1
        prefix = indices


def _kept(parent: Decisions, name: str, domain: Domain) -> Value | None:
    """The parent's value for a decision, when it has one that is still allowed."""
    value = parent.get(name)
    if isinstance(value, list):
        value = tuple(value)
    return value if value is not None and domain.holds(value) else None


def _first(domain: Domain) -> Value:
    if isinstance(domain, Categorical):
        return domain.options[0]
    return domain.options[: domain.least] if isinstance(domain, Subset) else domain.low


def _another(domain: Domain, current: Value | None, rng: random.Random) -> Value:
    if domain.size > FEW:
        drawn = domain.draw(rng)
        while drawn == current:
            drawn = domain.draw(rng)
        return drawn
    others = [value for value in domain.values() if value != current or type(value) is not type(current)]
    return others[rng.randrange(len(others))]
