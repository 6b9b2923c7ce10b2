"""What the recorded trials say to a strategy: losses and broken bounds, whatever a trial's state.

A strategy keeps no state and reads the whole record at every ask. What is worked out here for one trial is
remembered for as long as the trial is on the record, which changes no answer, only how long it takes.
"""

from __future__ import annotations

import random
from collections.abc import Container, Mapping, Sequence
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
class Record:
    """The recorded trials as a strategy sees them, in their order.

    `own` are those whose decisions belong to the space; `known` has all decisions that were tried, each
    with its place among the entries.
    """

    entries: Sequence[Entry]
    own: Sequence[Trial]
    known: Mapping[Key, int]


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
    return _gatherer(tuple(objectives)).gather(trials)


def read(space: SearchSpace, trials: Sequence[Trial]) -> Record:
    """The record as entries; what was read before is not read again, so that a long record stays cheap."""
    return _reader(memo_key(space)).read(trials)


def key_of(decisions: Decisions) -> Key:
    """Decisions in a form that can be compared and kept in a set; a list counts as a tuple."""
    return tuple(sorted((n, tuple(v) if isinstance(v, list) else v) for n, v in decisions.items()))


def draw_new(space: SearchSpace, known: Container[Key], rng: random.Random) -> dict[str, Value]:
    """Decisions drawn at random, not among the known ones unless the space seems used up."""
    decisions = space.sample(rng)
    for _ in range(ATTEMPTS):
        if key_of(decisions) not in known:
            break
        decisions = space.sample(rng)
    return decisions


def memo_key(space: SearchSpace) -> SearchSpace | Same:
    """The space as an argument of a memo: itself, or by its being the same object where it cannot be hashed."""
    try:
        hash(space)
    except TypeError:  # a field that is a list or a mapping
        return Same(space)
    return space


def space_of(key: SearchSpace | Same) -> SearchSpace:
    """The space that `memo_key` stands for."""
    return key.value if isinstance(key, Same) else key


class Same:
    """A value compared by being the same object, for a memo of what cannot be hashed."""

    __slots__ = ("value",)

    def __init__(self, value: SearchSpace) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value


class _Reader:
    """Reads a growing record of one space, and each of its trials once."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._last = Record((), (), {})

    def read(self, trials: Sequence[Trial]) -> Record:
        before = self._last.entries
        entries = [old if old.trial is new else self._again(old, new) for old, new in zip(before, trials, strict=False)]
        same = len(entries) == len(before) and all(a.key is b.key for a, b in zip(entries, before, strict=True))
        fresh = [self._entry(trial) for trial in trials[len(entries) :]]
        # a dictionary is copied without hashing its keys again, which takes longer than all else here
        known = dict(self._last.known) if same else {e.key: place for place, e in enumerate(entries)}
        known.update((entry.key, place) for place, entry in enumerate(fresh, start=len(entries)))
        entries += fresh
        self._last = Record(entries, [entry.trial for entry in entries if entry.of_space], known)
        return self._last

    def _again(self, old: Entry, trial: Trial) -> Entry:
        """The entry of a trial that took the place of another; mostly the same one, grown older."""
        if old.trial.decisions is trial.decisions:
            return Entry(trial, old.key, old.of_space)
        return self._entry(trial)

    def _entry(self, trial: Trial) -> Entry:
        key = key_of(trial.decisions)
        return Entry(trial, key, self._belongs(key))

    def _belongs(self, key: Key) -> bool:
        try:
            self._space.trace(dict(key))
        except SpaceError:
            return False
        return True


@lru_cache(maxsize=16)
def _reader(space: SearchSpace | Same) -> _Reader:
    return _Reader(space_of(space))


@dataclass(frozen=True, slots=True)
class _Raw:
    """What one trial says by itself; `evidence` where nothing has to be filled in from others."""

    trial: Trial
    losses: tuple[float | None, ...]
    violation: float
    evidence: Evidence | None


class _Gatherer:
    """Turns a growing record into evidence for one list of objectives, and each trial once."""

    def __init__(self, objectives: tuple[Objective, ...]) -> None:
        self._objectives = objectives
        self._raw: dict[int, _Raw] = {}

    def gather(self, trials: Sequence[Trial]) -> list[Evidence]:
        seen = self._raw
        # an id is as good as the trial here: every trial in the memo is kept alive by it
        telling = [t for t in trials if t.state in TELLING]
        places = list(map(id, telling))
        found = [seen.get(place) or self._read(trial) for place, trial in zip(places, telling, strict=True)]
        self._raw = dict(zip(places, found, strict=True))
        if all(one.evidence is not None for one in found):
            return [one.evidence for one in found if one.evidence is not None]
        worst = self._worst(found)
        return [one.evidence or self._filled(one, worst) for one in found]

    def _read(self, trial: Trial) -> _Raw:
        values = [trial.value(o.metric) for o in self._objectives]
        losses = [None if v is None else o.loss(v) for o, v in zip(self._objectives, values, strict=True)]
        violation = self._violation(trial)
        measured = tuple(loss for loss in losses if loss is not None)
        if len(measured) < len(losses) or trial.state is TrialState.STOPPED:
            return _Raw(trial, tuple(losses), violation, None)
        return _Raw(trial, measured, violation, Evidence(trial, measured, violation))

    def _worst(self, found: Sequence[_Raw]) -> tuple[float, ...]:
        """The worst measured loss of each objective, from complete trials if there are any; else 0."""
        done = [one for one in found if one.trial.state is TrialState.DONE] or found
        axes = zip(*(one.losses for one in done), strict=True)
        return tuple(max((loss for loss in axis if loss is not None), default=0.0) for axis in axes)

    def _filled(self, raw: _Raw, worst: tuple[float, ...]) -> Evidence:
        losses = [floor if loss is None else loss for loss, floor in zip(raw.losses, worst, strict=True)]
        if raw.trial.state is TrialState.STOPPED:
            losses = [max(loss, floor) for loss, floor in zip(losses, worst, strict=True)]
        return Evidence(raw.trial, tuple(losses), raw.violation)

    def _violation(self, trial: Trial) -> float:
        total = 0.0
        for objective in self._objectives:
            value = trial.value(objective.metric)
            if objective.bound is not None and value is not None:
                beyond = objective.loss(value) - objective.loss(objective.bound)
                total += max(beyond, 0.0) / (abs(objective.bound) or 1.0)
        if trial.state is TrialState.INFEASIBLE and total == 0.0:
            return 1.0
        return total


@lru_cache(maxsize=16)
def _gatherer(objectives: tuple[Objective, ...]) -> _Gatherer:
    return _Gatherer(objectives)
