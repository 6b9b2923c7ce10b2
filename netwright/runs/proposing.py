"""Who is tried next: what the strategy proposes, made a trial, unless this run or another has tried it already."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netwright.core.clock import Clock
from netwright.core.errors import SpaceError
from netwright.core.progress import Listener
from netwright.core.records import Measurement, Trial, TrialState
from netwright.core.seeds import derive_seed, generator
from netwright.nas.context import SearchContext
from netwright.nas.fidelity import Comparison
from netwright.nas.leftover import ORIGIN, all_of
from netwright.nas.strategy import Proposal
from netwright.runs.cheap import described
from netwright.runs.reuse import measured_before
from netwright.runs.specification import RunSpecification
from netwright.runs.trial import broken_bound

ASKS = 20
DRAWS = 200


class Proposer:
    """Asks the strategy, refuses to pay twice for one architecture, and takes over what other runs measured."""

    def __init__(self, specification: RunSpecification, *, folder: Path, clock: Clock, listener: Listener) -> None:
        self._spec = specification
        self._folder = folder
        self._clock = clock
        search, fidelity = specification.search, specification.search.fidelity
        self._comparison = None if fidelity is None else Comparison(fidelity)
        self._strategy = search.strategy.prepare(
            SearchContext(
                specification.task,
                folder / "scratch" / "strategy",
                specification.seed,
                specification.device,
                trials=search.trials,
                rungs=() if fidelity is None else fidelity.rungs,
                listener=listener,
            )
        )
        data = specification.task.data().fingerprint
        self._known = measured_before(specification.to_json(), data=data, runs=search.reuse)

    def propose(self, trials: Sequence[Trial], seen: Sequence[Trial]) -> Trial | None:
        """A trial of an architecture that none of `trials` has, cheaply checked; None when none is left.

        `seen` is what the strategy may know of them.
        """
        known = {trial.identity for trial in trials}
        number = len(trials)
        space = self._spec.searched
        told = seen if self._comparison is None else self._comparison.of(seen)
        for draw in range(ASKS + DRAWS):
            rng = generator(self._spec.seed, "ask", number, draw)
            if draw < ASKS:
                proposal = self._strategy.proposed(space, told, self._spec.objectives, rng)
            else:
                proposal = Proposal(decisions=space.sample(rng), origin="random, the strategy repeats itself")
            trial = self._drafted(proposal, number)
            if trial.identity not in known:
                return trial
        listed = (self._drafted(Proposal(dict(key), ORIGIN), number) for key in all_of(space))
        return next((trial for trial in listed if trial.identity not in known), None)

    def _drafted(self, proposal: Proposal, number: int) -> Trial:
        """A proposal as a trial: running, or infeasible when the cheap facts already break a bound."""
        decisions: Mapping[str, Any] = proposal.decisions
        identity = f"unbuildable-{derive_seed(*sorted(decisions.items()))}"
        measured: Mapping[str, Measurement] = {}
        try:
            decisions = dict(self._spec.searched.trace(decisions).decisions)  # those of one option may be left out
            identity, measured = described(self._spec, decisions)
            problem = broken_bound(self._spec.limits, measured)
        except SpaceError as error:
            problem = str(error)
        now = self._clock.now()
        return Trial(
            number=number,
            decisions=decisions,
            identity=identity,
            state=TrialState.RUNNING if problem is None else TrialState.INFEASIBLE,
            seed=derive_seed(self._spec.seed, identity, 0),
            measurements=measured,
            reason=problem or "",
            origin=proposal.origin,
            started=now,
            ended="" if problem is None else now,
        )

    def from_before(self, trial: Trial) -> Trial:
        """The trial as another run measured it, when one did so in the same way and all objectives are there."""
        known = self._known.get(trial.identity)
        if known is None or trial.state is not TrialState.RUNNING:
            return trial
        found = known.as_trial(trial, folder=self._folder)
        if found is None or any(found.value(o.metric) is None for o in self._spec.limits):
            return trial
        broken = broken_bound(self._spec.limits, found.measurements)
        if broken and found.state is TrialState.DONE:
            return dataclasses.replace(found, state=TrialState.INFEASIBLE, reason=broken)
        return found
