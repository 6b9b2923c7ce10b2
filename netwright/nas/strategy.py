"""The strategy: who is tried next, decided from the recorded trials alone."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from netwright.core.errors import NetwrightError
from netwright.core.plugins import Plugin, name_of
from netwright.core.records import Decisions, Objective, Trial
from netwright.nas.evidence import key_of
from netwright.nas.known_costs import CountedCosts, KnownCosts
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from netwright.nas.context import SearchContext


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture to try, and in a few words where it comes from, such as `mutation of trial 12`."""

    decisions: dict[str, Any]
    origin: str


class Strategy(Plugin):
    """Proposes architectures; its fields are its settings, and it keeps no state.

    All it knows is in `trials`, so a search that was interrupted goes on exactly as it would have.
    """

    looks_at_data: ClassVar[bool] = False
    """Whether it cannot do what it is for without a task, so that a table of results says nothing about it."""

    _context: SearchContext | None = PrivateAttr(default=None)
    """The task that is searched for; None where it was not told, as on a table."""
    _costs: KnownCosts | None = PrivateAttr(default=None)

    def prepare(self, context: SearchContext) -> Strategy:
        """This strategy for one task; called once before a search, and again when it is resumed.

        It then knows what every architecture costs, and so do the strategies inside it. Nothing expensive happens
        here. A strategy asked without it does as well as it can.
        """
        inner = {name: value.prepare(context) for name, value in self if isinstance(value, Strategy)}
        told = self.model_copy(update=inner).expecting(context.trials, rungs=context.rungs)
        told._context = context
        return told.knowing(CountedCosts(context.shapes))

    def expecting(self, trials: int | None, *, rungs: Sequence[float] = ()) -> Strategy:
        """This strategy, and those inside it, told how many trials there will be at most, and the fidelities if any."""
        inner = {name: value.expecting(trials, rungs=rungs) for name, value in self if isinstance(value, Strategy)}
        return self.model_copy(update=inner)

    def knowing(self, costs: KnownCosts | None) -> Strategy:
        """This strategy, and those inside it, told what architectures cost before they are paid for."""
        inner = {name: value.knowing(costs) for name, value in self if isinstance(value, Strategy)}
        found = self.model_copy(update=inner)
        found._costs = costs
        return found

    def affordable(self, space: SearchSpace, decisions: Decisions, objectives: Sequence[Objective]) -> bool:
        """Whether an architecture keeps every bound on what is known before training; true where nothing is known."""
        return self._costs is None or self._costs.losses(space, decisions, objectives) is not None

    def proposed(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        """What `ask` answers, its decisions copied; raises NetwrightError where that is no proposal."""
        found: object = self.ask(space, list(trials), objectives, rng)
        if isinstance(found, Proposal) and _are_decisions(found.decisions) and isinstance(found.origin, str):
            return Proposal(dict(found.decisions), found.origin)
        expected = "expected Proposal(decisions, origin) with a dict of decisions and a text"
        raise NetwrightError(f"`ask` of the strategy {name_of(self)!r} answered {found!r:.100}; {expected}")

    @abstractmethod
    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        """The next architecture of `space` to try; equal arguments give equal proposals.

        `trials` are all recorded so far in the order of their numbers, whatever their state, those that
        wait or run included. Every objective has its direction filled in. A strategy avoids decisions
        that were tried already, as far as it can; a caller that wants none of them asks again with
        another generator.
        """


def _are_decisions(found: object) -> bool:
    """Whether an answer is a dictionary of names and values that can be compared, be they of the space or not."""
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        return False
    try:
        hash(key_of(found))
    except TypeError:  # a dictionary or an array as a value
        return False
    return True
