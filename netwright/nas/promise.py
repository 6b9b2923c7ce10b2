"""What untried architectures promise: which are compared, and how much each is expected to gain."""

from __future__ import annotations

import random
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.nas.evidence import Evidence, Key, key_of
from netwright.nas.neighbourhood import untried_neighbour
from netwright.nas.ranking import ranking
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from netwright.nas.surrogate import Surrogate

PARENTS = 20
TWICE = 0.5
CROSSED = 0.3


def parents_of(rungs: Sequence[Sequence[Evidence]]) -> list[Decisions]:
    """The decisions of the best at every fidelity."""
    found = {item.trial.number: item.trial.decisions for at in rungs for item in ranking(at, most=PARENTS)}
    return list(found.values())


def candidates_of(
    space: SearchSpace,
    parents: Sequence[Decisions],
    known: Container[Key],
    rng: random.Random,
    *,
    count: int,
    explore: float,
) -> dict[Key, dict[str, Any]]:
    """Untried architectures: mutations of parents, once or twice, some of two, and a share drawn at random."""
    found: dict[Key, dict[str, Any]] = {}
    try:
        for _ in range(count):
            if rng.random() < explore:
                made = space.sample(rng)
            else:
                parent = rng.choice(parents)
                if rng.random() < CROSSED:
                    parent = space.crossover(parent, rng.choice(parents), rng)
                made = space.mutate(parent, rng)
                if rng.random() < TWICE:
                    made = space.mutate(made, rng)
            if (key := key_of(made)) not in known:
                found[key] = made
    except SpaceError:  # no neighbour is allowed, as in a space of one architecture
        return {}
    for parent in parents if count and not found else []:
        made_near = untried_neighbour(space, parent, known, rng)
        if made_near is not None:
            found[key_of(made_near)] = made_near
    return found


def gains(
    model: Surrogate,
    keys: Sequence[Key],
    known: Mapping[int, Sequence[float]],
    rng: random.Random,
    *,
    acquisition: str,
) -> list[float]:
    """What each architecture promises; `known` has losses that need no model, by objective."""
    import numpy as np

    from netwright.nas.acquisition import MOST_AXES, chebyshev_gain, expected_improvement, expected_volume_gain

    if acquisition == "thompson":
        mean = model.draw(keys, np.random.default_rng(rng.getrandbits(32)), known=known)
        spread = np.zeros_like(mean)
    else:
        mean, spread = model.predict(keys, known=known)
    if acquisition == "its":
        draws = np.random.default_rng(rng.getrandbits(32))
        mean, spread = mean + spread * draws.standard_normal(mean.shape), np.zeros_like(mean)
    count = mean.shape[1]
    best = float(model.values.min()) if count == 1 else 0.0
    if count == 1 and acquisition != "gain":
        gain = best - mean[:, 0]  # not cut off at 0, so that there is a best one when none is expected to improve
    elif count == 1:
        gain = expected_improvement(mean[:, 0], spread[:, 0], best)
    elif count <= MOST_AXES:
        losses = model.losses[model.keeping] if model.keeping.any() else model.losses
        gain = expected_volume_gain(mean, spread, [model.scale(place) for place in range(count)], losses)
    if count > MOST_AXES or (count > 1 and not gain.any()):
        gain = chebyshev_gain(mean, spread, model.values, np.random.default_rng(rng.getrandbits(32)))
    return [float(one) for one in gain]
