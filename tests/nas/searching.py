"""A search on a table: what the search loop does with a strategy, in memory and without training."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from netwright.core.plugins import build
from netwright.core.records import Measurement, Objective, Trial, TrialState
from netwright.core.seeds import generator
from netwright.nas.strategy import Strategy
from netwright.search_spaces.space import SearchSpace

ASKS = 20

Evaluate = Callable[[Mapping[str, object]], Mapping[str, float]]


def strategy(spec: object) -> Strategy:
    found = build("strategy", spec)
    assert isinstance(found, Strategy)
    return found


def done(number: int, decisions: Mapping[str, object], values: Mapping[str, float], **more: object) -> Trial:
    """A finished trial with these measured values."""
    measurements = {name: Measurement(metric=name, value=value) for name, value in values.items()}
    facts = {"identity": repr(sorted(decisions.items())), "state": TrialState.DONE, **more}
    return Trial(number=number, decisions=decisions, measurements=measurements, **facts)


def search(
    strategy: Strategy,
    space: SearchSpace,
    objectives: Sequence[Objective],
    evaluate: Evaluate,
    *,
    budget: int,
    seed: int,
    identity: Callable[[Mapping[str, object]], str] = lambda decisions: repr(sorted(decisions.items())),
    trials: Sequence[Trial] = (),
) -> list[Trial]:
    """Trials until `budget` of them were paid for; an identity that was seen is asked for again."""
    record = list(trials)
    seen = {trial.identity for trial in record}
    while len(record) < budget:
        for attempt in range(ASKS):
            rng = generator(seed, len(record), attempt)
            proposal = strategy.ask(space, record, objectives, rng)
            if identity(proposal.decisions) not in seen:
                break
        name = identity(proposal.decisions)
        seen.add(name)
        values = evaluate(proposal.decisions)
        record.append(done(len(record), proposal.decisions, values, identity=name, origin=proposal.origin))
    return record


def record_of(space: SearchSpace, count: int, evaluate: Evaluate, *, seed: int = 0) -> list[Trial]:
    """Finished trials of random architectures."""
    rng = random.Random(seed)
    samples = [space.sample(rng) for _ in range(count)]
    return [done(number, decisions, evaluate(decisions)) for number, decisions in enumerate(samples)]


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """The area that points (smaller is better) dominate up to the reference."""
    area, ceiling = 0.0, reference[1]
    for x, y in sorted(points):
        if x < reference[0] and y < ceiling:
            area += (reference[0] - x) * (ceiling - y)
            ceiling = y
    return area
