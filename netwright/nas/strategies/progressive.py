"""Progressive search: decisions are opened one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import Evidence, Key, Record, draw_new, gather, key_of, read
from netwright.nas.ranking import ranking
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.domain import Value
from netwright.search_spaces.encoding import neighbours
from netwright.search_spaces.space import SearchSpace


class Progressive(Strategy):
    """A beam of architectures grows by one decision at a time, chosen by a surrogate (PNAS; Liu et al., 2018).

    Decisions are opened in the order of asking, which in a space of cells or stages goes from the first to the
    last. At each level the best so far are expanded by every value of the open decision, a surrogate of all results
    ranks the expansions, and the best are trained; what is not open yet stays as it is in the architecture that is
    expanded. After the last decision the first is opened again.
    """

    startup: int = Field(default=10, ge=2, description="trials drawn at random before the first level")
    beam: int = Field(default=5, ge=1, description="how many architectures are expanded at each level")
    level: int = Field(default=5, ge=1, description="trials of each level")

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        record = read(space, trials)
        evidence = gather(record.own, objectives)
        if len(record.own) < self.startup or len(evidence) < 2:
            return Proposal(draw_new(space, record.known, rng), "random")
        beam = [item.trial for item in ranking(evidence, most=self.beam)]
        level = (len(record.own) - self.startup) // self.level
        for later in range(max(len(trial.decisions) for trial in beam)):
            found = self._expansions(space, beam, level + later, record)
            if found:
                best = self._best(space, evidence, list(found), rng)
                return Proposal(dict(best), f"level {level + later}: {found[best]}")
        return self._beyond(space, beam, record, rng)

    def _expansions(self, space: SearchSpace, beam: Sequence[Trial], level: int, record: Record) -> dict[Key, str]:
        """Untried architectures that differ from one of the beam in the decision that is open at this level."""
        found: dict[Key, str] = {}
        for trial in beam:
            names = [n for n, domain in space.trace(trial.decisions).domains.items() if domain.size > 1]
            if not names:
                continue
            name = names[level % len(names)]
            for made in neighbours(space, trial.decisions, of=name):
                if (key := key_of(made)) not in record.known:
                    found.setdefault(key, f"{name} of trial {trial.number}")
        return found

    def _best(self, space: SearchSpace, evidence: Sequence[Evidence], keys: Sequence[Key], rng: random.Random) -> Key:
        import numpy as np

        from netwright.nas.acquisition import chebyshev_gain
        from netwright.nas.surrogate import Surrogate

        model = Surrogate.fit(space, evidence)
        mean, spread = model.predict(keys)
        draws = np.random.default_rng(rng.getrandbits(32))
        return keys[int(np.argmax(chebyshev_gain(mean, spread, model.values, draws)))]

    def _beyond(self, space: SearchSpace, beam: Sequence[Trial], record: Record, rng: random.Random) -> Proposal:
        """Two steps from the beam, once all its neighbours were tried."""
        try:
            made: dict[str, Value] = space.mutate(space.mutate(rng.choice(beam).decisions, rng), rng)
        except SpaceError:  # a space of one architecture has no neighbours
            made = {}
        if not made or key_of(made) in record.known:
            return Proposal(draw_new(space, record.known, rng), "random")
        return Proposal(made, "two steps from the beam")
