"""Local search: hill climbing over neighbours."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from netwright.core.records import Objective, Trial
from netwright.nas.evidence import Entry, Evidence, Record, draw_new, gather, key_of, read
from netwright.nas.neighbourhood import listed, untried_neighbour
from netwright.nas.ranking import fronts
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace

START = "random start"
STEP = re.compile(r"neighbour of trial (\d+)")


class LocalSearch(Strategy):
    """Climbs to better neighbours, one decision changed at a time; starts anew where none is better.

    With one objective it takes the first neighbour that is better (White et al., 2021). With several it is Pareto
    local search (Paquete et al., 2004): a random member of the front that has untried neighbours gets one tried,
    then of the layer behind it.
    """

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        record = read(space, trials)
        evidence = gather(record.own, objectives)
        alone = len(objectives) == 1
        tips = _tips(record, evidence) if alone else _layered(evidence, rng)
        grades = {item.trial.number: _grade(item) for item in evidence} if alone else {}
        taken = Counter(_parent(trial.origin) for trial in record.own)
        for tip in tips:
            found = _step(space, tip.trial, record, grades, taken=taken[tip.trial.number], rng=rng)
            if found is not None:
                return found
        return Proposal(draw_new(space, record.known, rng), START)


Grade = tuple[float, float]
"""How far bounds are broken, then the loss: smaller is better."""


def _step(
    space: SearchSpace, tip: Trial, record: Record, grades: Mapping[int, Grade], *, taken: int, rng: random.Random
) -> Proposal | None:
    """The next step of a climb, or None when it has arrived, or met something better that was tried before.

    `taken` counts the steps that were tried from here: only when they are many are all neighbours listed.
    """
    if taken >= len(tip.decisions):
        around = listed(space, key_of(tip.decisions))
        met = [record.entries[record.known[key]].trial.number for key in around if key in record.known]
        if taken >= len(around) or any(grades[n] < grades[tip.number] for n in met if n in grades):
            return None
    decisions = untried_neighbour(space, tip.decisions, record.known, rng)
    return None if decisions is None else Proposal(decisions, f"neighbour of trial {tip.number}")


def _tips(record: Record, evidence: Sequence[Evidence]) -> list[Evidence]:
    """The best trial of every climb, the youngest climb first.

    A climb is a start and all that came from it, step by step. Trials from before the first climb, of another
    strategy or a warm start, count as one.
    """
    roots = _roots(record.entries)
    tips: dict[int, Evidence] = {}
    for item in evidence:
        root = roots[item.trial.number]
        if root not in tips or _grade(item) < _grade(tips[root]):
            tips[root] = item
    return [tips[root] for root in sorted(tips, reverse=True)]


def _grade(item: Evidence) -> Grade:
    return item.violation, item.losses[0]


def _roots(entries: Iterable[Entry]) -> dict[int, int]:
    """For every trial the number of the trial that its climb began with; -1 for those before the first climb."""
    roots: dict[int, int] = {}
    climbing = False
    for entry in entries:
        number, parent = entry.trial.number, _parent(entry.trial.origin)
        climbing = climbing or parent is not None or START in entry.trial.origin
        if not climbing:
            roots[number] = -1
        else:
            roots[number] = number if parent is None else roots.get(parent, number)
    return roots


def _layered(evidence: Sequence[Evidence], rng: random.Random) -> Iterator[Evidence]:
    """Trials by layer, the front first and each layer in random order; bounds that are broken come last."""
    feasible = [e for e in evidence if e.violation == 0]
    for layer in fronts([e.losses for e in feasible]):
        yield from (feasible[index] for index in rng.sample(layer, len(layer)))
    yield from sorted((e for e in evidence if e.violation > 0), key=lambda e: e.violation)


@lru_cache(maxsize=65536)
def _parent(origin: str) -> int | None:
    found = STEP.search(origin)
    return int(found.group(1)) if found else None
