"""Brackets: groups of trials that are halved together, each rung waiting for all of its group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from netwright.nas.promotion import Begin, Entrant, Ladder, Promote
from netwright.nas.promotion_order import Second, ordered


@dataclass(frozen=True, slots=True)
class Bracket:
    """`size` trials that begin at the rung `start`."""

    start: int
    size: int


def next_of(
    ladder: Ladder, brackets: Iterator[Bracket], *, one_in: Callable[[Ladder, int], int], second: Second
) -> Begin | Promote | None:
    """The next step of brackets that follow each other without end; `one_in` says who goes on from a rung.

    Trials belong to brackets in the order of their numbers. While a bracket waits for its last results, the next
    one begins, so that no worker is idle.
    """
    left = list(ladder.entrants)
    for bracket in brackets:
        members, left = left[: bracket.size], left[bracket.size :]
        full = len(members) == bracket.size or not ladder.may_ask
        places = [one_in(ladder, rung) for rung in range(ladder.top)]
        if full and (number := _promoted(members, bracket.start, places, second=second)) is not None:
            return Promote(number)
        if len(members) < bracket.size and ladder.may_ask:
            return Begin(bracket.start)
        if not left and not ladder.may_ask:
            return None
    raise AssertionError("brackets never end")


def _promoted(members: Sequence[Entrant], start: int, one_in: Sequence[int], *, second: Second) -> int | None:
    """The number of the next member to promote, at the first rung where all have come and some have to go on."""
    for rung in range(start, len(one_in)):
        there = [member for member in members if member.rung >= rung]
        if not there or any(member.running and member.rung == rung for member in there):
            return None
        reached = [member for member in there if rung in member.results]
        best = ordered(reached, rung=rung, second=second)[: max(1, len(reached) // one_in[rung])]
        for member in best:
            if member.paused and member.rung == rung:
                return member.number
    return None
