"""An architecture that cannot serve an input, and the decisions that would have to be others."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from netwright.core.errors import ShapeError, SpaceError
from netwright.core.plugins import name_of
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.chooser import RejectedDecisionsError
from netwright.search_spaces.choosers import NearestChooser

if TYPE_CHECKING:
    from netwright.search_spaces.space import SearchSpace

TRIED = 500
"""So many architectures that differ in one decision are looked at."""
DRAWN = 100
"""So many random ones, where no single decision helps."""
SAID = 3
"""So many decisions are named."""


class RefusedError(ShapeError):
    """An architecture that makes no network for an input; its text ends with the decisions that lead there.

    They are looked for when the text is read, so that who only passes over such an architecture does not pay for
    it. `reason` is the text without them.
    """

    def __init__(self, reason: str, *, space: SearchSpace, decisions: Decisions, shapes: Shapes) -> None:
        super().__init__(reason)
        self.reason = reason
        self._blame: Callable[[], str] | str = lambda: _blame(space, dict(decisions), shapes)

    def __str__(self) -> str:
        if not isinstance(self._blame, str):
            self._blame = self._blame()
        return f"{self.reason} ({self._blame})"

    def __reduce__(self) -> tuple[type[ShapeError], tuple[str]]:
        return ShapeError, (str(self),)  # what it came from need not be where it is read


def told_in_a_line(error: Exception) -> str:
    """What an exception says, and which one it is."""
    if isinstance(error, ValidationError):
        fields = [
            f"{'/'.join(map(str, one['loc']))}: {one['msg']}, came {one['input']!r:.100}" for one in error.errors()
        ]
        return f"{error.title}: {'; '.join(fields)}"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _blame(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> str:
    """In a few words what would have to be decided otherwise; of several single decisions the last one asked for."""
    better = _one_away(space, decisions, shapes) or _drawn(space, decisions, shapes)
    if better is None:
        return f"no decision of the space {name_of(space)!r} changes that"
    changed = [name for name in decisions if name in better and repr(better[name]) != repr(decisions[name])]
    named = changed[:SAID]
    more = f" and of {len(changed) - SAID} others" if len(changed) > SAID else ""
    are = " and ".join(f"{name!r} is {decisions[name]!r}" for name in named)
    others = " and ".join(repr(better[name]) for name in named)
    return f"the decision{'s' * (len(named) > 1)} {are}; {others}{more} would do"


def _one_away(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> Decisions | None:
    """An architecture that serves the input and differs in one decision."""
    from netwright.search_spaces.encoding import neighbours

    tried = 0
    for name in reversed(list(decisions)):
        for other in neighbours(space, decisions, of=name):
            tried += 1
            if tried > TRIED:
                return None
            if _serves(space, other, shapes):
                return other
    return None


def _drawn(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> Decisions | None:
    """An architecture that serves the input, with as many of the given decisions as go together."""
    rng = random.Random(0)
    drawn = (space.sample(rng) for _ in range(DRAWN))
    better: Decisions | None = next((other for other in drawn if _serves(space, other, shapes)), None)
    if better is None:
        return None
    for name, value in decisions.items():
        nearer = _replayed(space, {**decisions, **better, name: value})
        if nearer is not None and _serves(space, nearer, shapes):
            better = nearer
    return better


def _replayed(space: SearchSpace, decisions: Mapping[str, Any]) -> Decisions | None:
    chooser = NearestChooser(decisions)
    try:
        space.decide(chooser)
    except RejectedDecisionsError:
        return None
    return chooser.decisions


def _serves(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> bool:
    try:
        space.outline(decisions, shapes)
    except SpaceError:
        return False
    return True
