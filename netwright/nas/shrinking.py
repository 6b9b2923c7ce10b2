"""Progressive shrinking: which architectures a supernet may be trained on, phase by phase, the largest first."""

from __future__ import annotations

import random
from dataclasses import dataclass

from netwright.core.errors import SpaceError
from netwright.core.plugins import name_of
from netwright.core.records import Decisions
from netwright.search_spaces.chooser import Chooser, RejectedDecisionsError
from netwright.search_spaces.domain import Domain, Value
from netwright.search_spaces.space import SearchSpace

ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Shrinking:
    """The phases of a progressive shrinking (Once-for-all: Cai et al., 2020).

    In phase 0 the largest architecture alone is trained; phase k opens the decisions of `phases[k - 1]`, each named by
    the last part of its path (`kernel` for `stage1/block1/kernel`) or by all of it. A decision that is not open has the
    largest's value. What no phase names is opened by the last one, so that nothing is left out.
    """

    space: SearchSpace
    largest: Decisions
    phases: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Raises SpaceError for a word that names no decision of the space."""
        domains = self.space.trace(self.largest).domains
        words = {word for name, domain in domains.items() if domain.size > 1 for word in (name, _last(name))}
        unknown = [word for phase in self.phases for word in phase if word not in words]
        if unknown:
            known = ", ".join(sorted({_last(name) for name, domain in domains.items() if domain.size > 1}))
            raise SpaceError(
                f"shrinking names {unknown[0]!r}, which the space {name_of(self.space)!r} does not decide on; "
                f"take some of: {known}"
            )

    def phase(self, epoch: int, *, epochs: int) -> int:
        """The phase of an epoch, both counted so that the first epoch is 1 and the first phase 0; all equally long."""
        return (epoch - 1) * (len(self.phases) + 1) // epochs

    def sample(self, rng: random.Random, *, phase: int) -> Decisions:
        """Decisions of which only those that are open in a phase are drawn; the largest if none of these is allowed."""
        if phase == 0:
            return dict(self.largest)
        last = phase == len(self.phases)
        opened = {word for words in self.phases[:phase] for word in words}
        for _ in range(ATTEMPTS):
            chooser = _Restricted(self.largest, None if last else opened, rng)
            try:
                self.space.decide(chooser)
            except RejectedDecisionsError:
                continue
            return dict(chooser.decisions)
        return dict(self.largest)


class _Restricted(Chooser):
    """Draws the decisions that are open (None: all), and answers the others as the largest architecture does."""

    def __init__(self, largest: Decisions, opened: set[str] | None, rng: random.Random) -> None:
        super().__init__()
        self._largest, self._opened, self._rng = largest, opened, rng

    def draw(self, name: str, domain: Domain) -> Value:
        value = self._largest.get(name)
        if isinstance(value, list):
            value = tuple(value)
        drawn = self._opened is None or name in self._opened or _last(name) in self._opened
        # a decision that the largest does not have, or not with this option, hangs on an open one
        return domain.draw(self._rng) if drawn or value is None or not domain.holds(value) else value


def _last(name: str) -> str:
    return name.rpartition("/")[2]
