"""What the recorded trials say to a strategy: losses and broken bounds, whatever a trial's state."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions, Objective, Trial, TrialState
from netwright.search_spaces.domain import Value
from netwright.search_spaces.space import SearchSpace

Key = tuple[tuple[str, Value], ...]
"""Decisions as a hashable value."""

TELLING = frozenset({TrialState.DONE, TrialState.INFEASIBLE, TrialState.STOPPED})
"""States of trials that say how good an architecture is."""

PENDING = frozenset({TrialState.WAITING, TrialState.RUNNING})

ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial, its decisions as a key, and whether they belong to the space."""

    trial: Trial
    key: Key
    of_space: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """A finished trial as numbers: objectives where smaller is better, and how far bounds are broken.

    `violation` is 0 when every bound is kept; else the sum of what is beyond each bound, relative to it.
    """

    trial: Trial
    losses: tuple[float, ...]
    violation: float


def gather(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Evidence]:
    """The evidence of every trial that gives some, in their order.

    A value that was not measured counts as the worst one seen. So does every value of a stopped trial,
    unless it is worse still: it is never better than what was trained to the end.
    """
    telling = [trial for trial in trials if trial.state in TELLING]
    worst = _worst(telling, objectives)
    return [Evidence(trial, _losses(trial, objectives, worst), _violation(trial, objectives)) for trial in telling]


def key_of(decisions: Decisions) -> Key:
    """Decisions in a form that can be compared and kept in a set; a list counts as a tuple."""
    return tuple(sorted((n, tuple(v) if isinstance(v, list) else v) for n, v in decisions.items()))


def read(space: SearchSpace, trials: Sequence[Trial]) -> list[Entry]:
    """The record as entries, in its order."""
    keys = [key_of(trial.decisions) for trial in trials]
    return [Entry(t, key, _belongs(space, key)) for t, key in zip(trials, keys, strict=True)]


def own(entries: Sequence[Entry]) -> list[Trial]:
    """The trials whose decisions belong to the space."""
    return [entry.trial for entry in entries if entry.of_space]


def tried(entries: Sequence[Entry]) -> frozenset[Key]:
    """All decisions on record."""
    return frozenset(entry.key for entry in entries)


def draw_new(space: SearchSpace, known: frozenset[Key], rng: random.Random) -> dict[str, Value]:
    """Decisions drawn at random, not among the known ones unless the space seems used up."""
    decisions = space.sample(rng)
    for _ in range(ATTEMPTS):
        if key_of(decisions) not in known:
            break
        decisions = space.sample(rng)
    return decisions


def _belongs(space: SearchSpace, key: Key) -> bool:
    try:
        return _traces(space, key)
    except TypeError:  # a space with a field that cannot be hashed, such as a list or a mapping
        return _can_trace(space, key)


def _can_trace(space: SearchSpace, key: Key) -> bool:
    try:
        space.trace(dict(key))
    except SpaceError:
        return False
    return True


_traces = lru_cache(maxsize=16384)(_can_trace)


def _worst(trials: Sequence[Trial], objectives: Sequence[Objective]) -> tuple[float, ...]:
    """The worst measured loss of each objective, from complete trials if there are any; else 0."""
    done = [trial for trial in trials if trial.state is TrialState.DONE] or trials
    return tuple(
        max((o.loss(v) for trial in done if (v := trial.value(o.metric)) is not None), default=0.0) for o in objectives
    )


def _losses(trial: Trial, objectives: Sequence[Objective], worst: tuple[float, ...]) -> tuple[float, ...]:
    losses = []
    for objective, floor in zip(objectives, worst, strict=True):
        value = trial.value(objective.metric)
        loss = floor if value is None else objective.loss(value)
        losses.append(max(loss, floor) if trial.state is TrialState.STOPPED else loss)
    return tuple(losses)


def _violation(trial: Trial, objectives: Sequence[Objective]) -> float:
    total = 0.0
    for objective in objectives:
        value = trial.value(objective.metric)
        if objective.bound is not None and value is not None:
            beyond = objective.loss(value) - objective.loss(objective.bound)
            total += max(beyond, 0.0) / (abs(objective.bound) or 1.0)
    if trial.state is TrialState.INFEASIBLE and total == 0.0:
        return 1.0
    return total
