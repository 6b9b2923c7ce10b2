"""A space's costs before anything is trained: their spread, the share that keeps bounds, what cannot be reached."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.records import Decisions, Objective
from netwright.core.shapes import Shapes
from netwright.search_spaces.encoding import neighbours
from netwright.search_spaces.size import PRECISION, SpaceSize, everything, size_of
from netwright.search_spaces.space import SearchSpace

METRICS = ("params", "macs", "activation_bytes")
STARTS = 3
STEPS = 3000
"""Architectures that the search for one end of one cost may look at."""
TOLD = 3
"""So many reasons for not serving an input are told with the decision that leads there."""
Costs = dict[str, int]
Found = tuple[Costs, Decisions]
Loss = Callable[[Costs], float]
Refused = dict[str, tuple[ShapeError, int]]
"""The first architecture that cannot serve an input for a reason, and how many there are."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and most of a cost; the ends are the farthest found, by sampling or by searching for them."""

    least: int
    median: float
    most: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a bound can be kept: the best value found, and the architecture that has it."""

    bound: Objective
    best: int
    decisions: Decisions

    @property
    def reachable(self) -> bool:
        return self.bound.satisfied_by(self.best)


@dataclass(frozen=True, slots=True)
class Feasible:
    """Share of architectures that keep all bounds, with its 95 % interval (Wilson); exact when all were looked at.

    `example` is one that keeps them, also when only the search found it, or None.
    """

    share: float
    low: float
    high: float
    example: Decisions | None


@dataclass(frozen=True, slots=True)
class SpaceProfile:
    """What `profile` found. `looked_at` architectures were drawn, or all there are when `exhaustive`.

    `refused` counts those that cannot serve the input, by reason; they keep no bound.
    """

    size: SpaceSize
    looked_at: int
    exhaustive: bool
    spreads: dict[str, Spread]
    refused: dict[str, int]
    feasible: Feasible
    verdicts: tuple[Verdict, ...]


def profile(
    space: SearchSpace,
    shapes: Shapes,
    *,
    bounds: Sequence[Objective] = (),
    samples: int = 1000,
    rng: random.Random | None = None,
    told: Callable[[Verdict, bool], None] | None = None,
    doing: Callable[[str], None] = lambda words: None,
) -> SpaceProfile:
    """Size, spread of every cost, share of architectures within the bounds, and whether each bound can be kept.

    A space of at most `samples` architectures is looked at in full. Any other is sampled, and the ends of each
    cost are then searched for, see `descend`: no proof that a bound cannot be kept, but good evidence. Bounds
    are on params, macs or activation_bytes. `told` hears of each bound's verdict, and whether it is proven, before the
    other ends are searched for, `doing` what begins. Raises SpaceError when no architecture drawn can serve the input.
    """
    rng = rng or random.Random(0)
    doing("estimating the size")
    size = size_of(space, precision=PRECISION)
    few = size.count is not None and size.count <= samples
    every = everything(space, limit=samples) if few else None
    doing(f"costing {len(every) if every is not None else samples:,} architectures")
    population = every if every is not None else [space.sample(rng) for _ in range(samples)]
    refused: Refused = {}
    found = list(_served(space, shapes, population, refused))
    if not found:
        reason = next((str(error) for error, _ in refused.values()), "the space is empty")
        raise SpaceError(f"none of {len(population)} architectures can serve the input {shapes.input}: {reason}")
    exact = every is not None
    steps = 0 if exact else STEPS
    ends: dict[tuple[str, int], Found] = {}
    judged = []
    for bound in bounds:
        metric, sign = bound.metric, -1 if bound.direction == "maximize" else 1
        doing(f"searching for {_words(metric, sign)}")
        ends[metric, sign] = descend(space, shapes, found, loss=_end(metric, sign), steps=steps)
        judged.append(_verdict(bound, ends[metric, sign]))
        if told is not None:
            told(judged[-1], exact)
    for metric, sign in ((metric, sign) for sign in (1, -1) for metric in METRICS):
        if (metric, sign) not in ends:
            doing(f"searching for {_words(metric, sign)}")
            # what is least in one cost is nearly so in the others: one start is enough
            near = [*found, *ends.values()]
            ends[metric, sign] = descend(space, shapes, near, loss=_end(metric, sign), steps=steps, starts=1)
    feasible = _feasible(found, bounds, len(population), exact=exact)
    if bounds and feasible.example is None and all(verdict.reachable for verdict in judged):
        costs, decisions = descend(space, shapes, found, loss=_violation(bounds), steps=steps)
        feasible = replace(feasible, example=decisions if _keeps(costs, bounds) else None)
    return SpaceProfile(
        size=size,
        looked_at=len(population),
        exhaustive=exact,
        spreads={metric: _spread(metric, found, ends) for metric in METRICS},
        refused=_reasons(refused),
        feasible=feasible,
        verdicts=tuple(judged),
    )


def costs_of(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> Costs:
    """Parameters, MACs and peak activation bytes by name."""
    cost = space.cost(decisions, shapes)
    return {"params": cost.params, "macs": cost.macs, "activation_bytes": cost.peak_activation_bytes}


def descend(
    space: SearchSpace,
    shapes: Shapes,
    found: Sequence[Found],
    *,
    loss: Loss,
    steps: int = STEPS,
    starts: int = STARTS,
) -> Found:
    """The architecture of least `loss` among `found`, or a better one that can be reached from the best of them.

    Decision by decision takes the value of least loss, over and over until none helps or after `steps`
    architectures; begins from some of the best, since a constraint may close the way from one.
    """
    best = min(found, key=lambda pair: loss(pair[0]))
    for start in sorted(found, key=lambda pair: loss(pair[0]))[:starts]:
        reached = _descent(space, shapes, start, loss, steps // STARTS)
        if loss(reached[0]) < loss(best[0]):
            best = reached
    return best


def _descent(space: SearchSpace, shapes: Shapes, start: Found, loss: Loss, steps: int) -> Found:
    best, improved = start, True
    while improved:
        improved = False
        for name in list(best[1]):
            if name not in best[1]:  # gone with a decision that was changed on the way
                continue
            if steps <= 0:
                return best
            near = list(_served(space, shapes, neighbours(space, best[1], of=name)))
            steps -= len(near)
            better = min(near, key=lambda pair: loss(pair[0]), default=best)
            if loss(better[0]) < loss(best[0]):
                best, improved = better, True
    return best


def _served(
    space: SearchSpace,
    shapes: Shapes,
    population: Iterable[Decisions],
    refused: Refused | None = None,
) -> Iterator[Found]:
    """Costs of the architectures that can serve the input; the others are noted by reason."""
    for decisions in population:
        try:
            yield costs_of(space, decisions, shapes), decisions
        except ShapeError as error:
            if refused is not None:
                reason = error.args[0]  # not the whole text, which takes long to find
                first, count = refused.get(reason, (error, 0))
                refused[reason] = first, count + 1


def _reasons(refused: Refused) -> dict[str, int]:
    """How often each reason came, the most frequent first; those name the decision that leads there."""
    often = sorted(refused.items(), key=lambda pair: -pair[1][1])
    told = {str(error): count for _, (error, count) in often[:TOLD]}
    return told | {reason: count for reason, (_, count) in often[TOLD:]}


def _end(metric: str, sign: int) -> Loss:
    return lambda costs: sign * costs[metric]


def _words(metric: str, sign: int) -> str:
    return f"the {'least' if sign > 0 else 'most'} {metric}"


def _violation(bounds: Sequence[Objective]) -> Loss:
    """By which shares of the bounds the costs break them, in all."""

    def loss(costs: Costs) -> float:
        over = [bound.loss(costs[bound.metric]) - bound.loss(bound.bound or 0.0) for bound in bounds]
        return sum(max(0.0, o) / max(abs(bound.bound or 0.0), 1.0) for o, bound in zip(over, bounds, strict=True))

    return loss


def _keeps(costs: Costs, bounds: Sequence[Objective]) -> bool:
    return all(bound.satisfied_by(costs[bound.metric]) for bound in bounds)


def _spread(metric: str, found: Sequence[Found], ends: Mapping[tuple[str, int], Found]) -> Spread:
    middle = median(costs[metric] for costs, _ in found)
    return Spread(ends[metric, 1][0][metric], middle, ends[metric, -1][0][metric])


def _verdict(bound: Objective, end: Found) -> Verdict:
    return Verdict(bound, end[0][bound.metric], end[1])


def _feasible(found: Sequence[Found], bounds: Sequence[Objective], total: int, *, exact: bool) -> Feasible:
    kept = [decisions for costs, decisions in found if _keeps(costs, bounds)]
    share = len(kept) / total
    low, high = (share, share) if exact else wilson(len(kept), total)
    return Feasible(share, low, high, kept[0] if kept else None)


def wilson(hits: int, total: int, *, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927); 95 % with the default z.

    >>> [round(end, 4) for end in wilson(0, 100)]
    [0.0, 0.037]
    """
    share, z2 = hits / total, z * z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = z / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)
