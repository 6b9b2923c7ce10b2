"""All architectures of a small space: what is left when neither a strategy nor chance comes upon anything new."""

from __future__ import annotations

from functools import lru_cache

from netwright.nas.evidence import Key, Same, key_of, memo_key, space_of
from netwright.search_spaces.size import everything, size_of
from netwright.search_spaces.space import SearchSpace

LISTED = 5000
ORIGIN = "one of the last of the space"


def all_of(space: SearchSpace) -> tuple[Key, ...]:
    """Every architecture of a space that has at most 5,000, else none."""
    return _all_of(memo_key(space))


@lru_cache(maxsize=4)
def _all_of(space: SearchSpace | Same) -> tuple[Key, ...]:
    found = space_of(space)
    if size_of(found, limit=LISTED).count is None:
        return ()
    return tuple(key_of(decisions) for decisions in everything(found, limit=LISTED) or ())
