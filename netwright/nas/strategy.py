"""The strategy: who is tried next, decided from the recorded trials alone."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netwright.core.plugins import Plugin
from netwright.core.records import Objective, Trial
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

    def prepare(self, context: SearchContext) -> Strategy:
        """This strategy for one task; called once before a search, and again when it is resumed.

        Only strategies that look at data, such as those that score networks or train a supernet, differ from
        what they were. Nothing expensive happens here. A strategy asked without it does as well as it can.
        """
        del context
        return self

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
