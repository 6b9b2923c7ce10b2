"""How large a space is: counted where that is quick, else estimated with a standard error."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from netwright.core.errors import SpaceError
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.choosers import RandomChooser, enumerate_decisions
from netwright.search_spaces.domain import Real
from netwright.search_spaces.space import SearchSpace

COUNTED = 50_000
WALKS = 1000
PRECISION = 0.05
"""The standard error, as a share of the estimate, that more walks are taken for where time allows."""
DEEPEST = 1e300
"""A float holds no more; larger sizes are told by their logarithm."""


@dataclass(frozen=True, slots=True)
class SpaceSize:
    """The number of sets of decisions of a space.

    `count` is exact, or None when the space was only sampled. `log10` is the logarithm of the count or of its
    estimate, `relative_error` the standard error as a share of the estimate (0 when counted). `real` names
    the decisions that are real numbers: each has endlessly many values, and the size is that of all others.
    """

    count: int | None
    log10: float
    relative_error: float
    walks: int
    real: tuple[str, ...] = ()

    @property
    def estimate(self) -> float | None:
        """The size as a number, or None when it is beyond any float."""
        if self.count is not None:
            return float(self.count) if self.log10 < math.log10(DEEPEST) else None
        return 10**self.log10 if self.log10 < math.log10(DEEPEST) else None

    def __str__(self) -> str:
        times = f" × real values of {', '.join(self.real)}" if self.real else ""
        if self.count is not None:
            return f"{self.count:,}{times}"
        return f"about {_power(self.log10)}{times}"


def size_of(
    space: SearchSpace,
    *,
    rng: random.Random | None = None,
    limit: int = COUNTED,
    walks: int = WALKS,
    precision: float = math.inf,
) -> SpaceSize:
    """The size of a space: exact when at most `limit`, else Knuth's estimate from so many random walks.

    A walk answers every question of `decide` at random; the product of the numbers of options on its way, or 0
    when the answers break a constraint, has the size as its expectation (Knuth, Estimating the efficiency of
    backtrack programs, 1975). Spaces whose walks differ much have a large standard error, which is stated; until it is
    at most `precision`, a share of the estimate, four times as many walks are taken, up to sixteen times in all.
    """
    rng = rng or random.Random(0)
    estimate = _estimated(space, rng, walks)
    while precision < estimate.relative_error < math.inf and estimate.walks < 16 * walks:
        estimate = _estimated(space, rng, 4 * estimate.walks)
    likely = estimate.log10 - 1 <= math.log10(limit)
    if estimate.real or not likely:
        return estimate
    count = _counted(space, limit)
    if count is None:
        return estimate
    return SpaceSize(count, math.log10(count) if count else -math.inf, 0.0, 0)


def everything(space: SearchSpace, *, limit: int) -> list[dict[str, Any]] | None:
    """All sets of decisions of a space that has at most `limit`, else None."""
    try:
        found = list(islice(space.enumerate(), limit + 1))
    except SpaceError:
        return None
    return found if len(found) <= limit else None


def _counted(space: SearchSpace, limit: int) -> int | None:
    """The number of allowed sets of decisions, or None when there are more than `limit`."""
    rejected = 0

    def decide(choose: Chooser) -> None:
        nonlocal rejected
        try:
            space.decide(choose)
        except RejectedDecisionsError:
            rejected += 1

    for asked, _ in enumerate(enumerate_decisions(decide), start=1):
        if asked - rejected > limit:
            return None
    return asked - rejected


def _estimated(space: SearchSpace, rng: random.Random, walks: int) -> SpaceSize:
    real: dict[str, None] = {}
    logs = [log for log in islice(_walks(space, rng, real), walks) if log is not None]
    if not logs:
        return SpaceSize(None, -math.inf, math.inf, walks, tuple(real))
    top = max(logs)
    weights = [math.exp(log - top) for log in logs]
    mean = sum(weights) / walks
    squares = sum(weight**2 for weight in weights) / walks
    spread = math.sqrt(max(squares - mean**2, 0.0) / max(walks - 1, 1))
    return SpaceSize(None, (top + math.log(mean)) / math.log(10), spread / mean, walks, tuple(real))


def _walks(space: SearchSpace, rng: random.Random, real: dict[str, None]) -> Iterator[float | None]:
    """The logarithm of each walk's product of options, or None when its answers are not allowed."""
    while True:
        chooser = RandomChooser(rng)
        try:
            space.decide(chooser)
        except RejectedDecisionsError:
            yield None
            continue
        real.update(dict.fromkeys(n for n, d in chooser.domains.items() if isinstance(d, Real) and d.size > 1))
        yield sum(math.log(d.size) for d in chooser.domains.values() if not isinstance(d, Real))


def _power(log10: float) -> str:
    if log10 == -math.inf:
        return "0"
    power = math.floor(log10)
    if power < 6:
        return f"{float(f'{10**log10:.3g}'):,.0f}"
    return f"{10 ** (log10 - power):.2g}e{power}"
