"""Which decision leads to a network that cannot serve an input."""

from __future__ import annotations

from netwright.core.errors import ShapeError
from netwright.core.records import Decisions
from netwright.core.shapes import Shapes
from netwright.search_spaces.encoding import neighbours
from netwright.search_spaces.space import SearchSpace

TRIED = 500
"""So many architectures that differ in one decision are looked at."""


def reason_of(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> str:
    """Why an architecture cannot serve an input, and the decision that would have to be another; empty if it can.

    Of several such decisions it is the last one asked for.
    """
    try:
        space.outline(decisions, shapes)
    except ShapeError as error:
        return f"{error}{_blamed(space, decisions, shapes)}"
    return ""


def _blamed(space: SearchSpace, decisions: Decisions, shapes: Shapes) -> str:
    tried = 0
    for name in reversed(list(decisions)):
        for other in neighbours(space, decisions, of=name):
            tried += 1
            if tried > TRIED:
                return ""
            try:
                space.outline(other, shapes)
            except ShapeError:
                continue
            return f" (the decision {name!r} is {decisions[name]!r}; {other[name]!r} would do)"
    return ""
