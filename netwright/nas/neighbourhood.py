"""Untried neighbours of an architecture: those that differ in one decision."""

from __future__ import annotations

import random
from collections.abc import Container
from functools import lru_cache

from netwright.core.errors import SpaceError
from netwright.core.records import Decisions
from netwright.nas.evidence import Key, Same, key_of, memo_key, space_of
from netwright.search_spaces.domain import Value
from netwright.search_spaces.encoding import neighbours
from netwright.search_spaces.space import SearchSpace

TRIES = 6
"""So many neighbours are drawn before all are listed, which takes long in a large space."""


def untried_neighbour(
    space: SearchSpace, centre: Decisions, known: Container[Key], rng: random.Random
) -> dict[str, Value] | None:
    """A random neighbour that is not known, or None when there is none left."""
    try:
        for _ in range(TRIES):
            drawn = space.mutate(centre, rng)
            if key_of(drawn) not in known:
                return drawn
    except SpaceError:  # no neighbour is allowed, as in a space of one architecture
        return None
    left = [key for key in listed(space, key_of(centre)) if key not in known]
    return dict(rng.choice(left)) if left else None


def listed(space: SearchSpace, centre: Key) -> tuple[Key, ...]:
    """Every neighbour; of numbers of many values two of them, see `netwright.search_spaces.encoding.neighbours`."""
    return _listed(memo_key(space), centre)


@lru_cache(maxsize=512)
def _listed(space: SearchSpace | Same, centre: Key) -> tuple[Key, ...]:
    return tuple(key_of(decisions) for decisions in neighbours(space_of(space), dict(centre)))
