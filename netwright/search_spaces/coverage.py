"""Decisions that between them show every layer of a space at its largest."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Categorical, Domain, Integer, Subset, Value
from netwright.search_spaces.space import SearchSpace

FEW = 64
"""So many values of one decision are tried one by one; of more, the ends and the middle."""
TRIES = 20


class _Directed(Chooser):
    """Takes given values, of numbers and subsets the largest, of everything else the first or a draw."""

    def __init__(self, fixed: Mapping[str, Value], rng: random.Random | None) -> None:
        super().__init__()
        self._fixed = fixed
        self._rng = rng

    def draw(self, name: str, domain: Domain) -> Value:
        if name in self._fixed and domain.holds(self._fixed[name]):
            return self._fixed[name]
        if self._rng is not None and not _has_largest(domain):
            return domain.draw(self._rng)
        return _largest(domain)


def covering(space: SearchSpace, rng: random.Random, *, most: int = 4000) -> Iterator[tuple[dict[str, Any], bool]]:
    """Decisions in which every option of every decision occurs, then random ones without end.

    First everything at its largest, then each option of each decision in turn with the rest at its largest;
    decisions that only then come up are gone through as well, up to `most` in all. Each comes with whether
    it is a random one, after which the caller may stop.
    """
    seen: set[tuple[str, Value]] = set()
    waiting: list[dict[str, Value]] = [{}]
    for _ in range(most):
        if not waiting:
            break
        for decisions in _directed(space, waiting.pop(), rng):
            yield decisions, False
            fresh = [option for option in _options_of(space, decisions) if option not in seen]
            seen.update(fresh)
            waiting.extend({name: value} for name, value in fresh)
    while True:
        yield space.sample(rng), True
        yield from ((decisions, True) for decisions in _directed(space, {}, rng, first=1))


def _directed(
    space: SearchSpace, fixed: Mapping[str, Value], rng: random.Random, *, first: int = 0
) -> Iterator[dict[str, Any]]:
    """Decisions with these values, when the space allows any; from the second try on the rest is partly drawn."""
    for attempt in range(first, TRIES):
        chooser = _Directed(fixed, rng if attempt else None)
        try:
            space.decide(chooser)
        except RejectedDecisionsError:
            continue
        yield dict(chooser.decisions)
        return


def _options_of(space: SearchSpace, decisions: Decisions) -> Iterator[tuple[str, Value]]:
    for name, domain in space.trace(decisions).domains.items():
        yield from ((name, value) for value in _some(domain))


def _some(domain: Domain) -> list[Value]:
    if domain.size <= FEW:
        try:
            return domain.values()
        except SpaceError:
            return []
    if isinstance(domain, Integer):
        middle = domain.low + (domain.high - domain.low) // (2 * domain.step) * domain.step
        return [domain.low, middle, domain.values()[-1]]
    if isinstance(domain, Subset):
        return [_largest(domain), *[(option,) for option in domain.options if domain.least <= 1]]
    return []


def _has_largest(domain: Domain) -> bool:
    return not isinstance(domain, Categorical) or all(isinstance(o, (int, float)) for o in domain.options)


def _largest(domain: Domain) -> Value:
    """The largest number or subset; the first option where options have no order."""
    if isinstance(domain, Categorical):
        return max(domain.options, key=float) if _has_largest(domain) else domain.options[0]
    if isinstance(domain, Integer):
        return domain.values()[-1]
    return domain.options[: domain.most] if isinstance(domain, Subset) else domain.high
