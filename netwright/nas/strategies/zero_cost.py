"""Zero-cost search: candidates are ranked by proxies before any of them is trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, PrivateAttr

from netwright.core.plugins import name_of
from netwright.core.progress import silent
from netwright.core.records import Objective, Trial
from netwright.core.seeds import generator
from netwright.evaluation.mixture import MixtureRule
from netwright.nas.context import SearchContext
from netwright.nas.evidence import draw_new, gather, key_of, memo_key, read
from netwright.nas.nested import InnerProxy, InnerStrategy
from netwright.nas.proxy_scoring import Candidate, Scorer, as_trials, stand_in
from netwright.nas.ranking import fronts, ranking
from netwright.nas.reporting import Report
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace


class ZeroCost(Strategy):
    """Proposes what zero-cost proxies rank best among many (Abdelfattah et al., 2021).

    Alone it draws a pool once and proposes its architectures from the best on. With `inner` it is a filter in
    front of another strategy: that one is asked several times for each proposal, and the most promising of its
    answers is passed on. Several proxies are put together by rank. Bounds on costs are kept, and costs that are
    objectives count beside the proxies. Asked without a task, it ranks by cost alone.
    """

    proxies: tuple[InnerProxy, ...] = Field(
        default=("az_nas", "synflow", "naswot"),
        min_length=1,
        validate_default=True,
        description="what ranks, together; see `netwright list proxies`",
    )
    rule: MixtureRule = Field(default="log_rank", description="how ranks by several scores are put together")
    pool: int = Field(default=100, ge=2, description="architectures drawn and scored when there is no inner strategy")
    inner: InnerStrategy | None = Field(default=None, description="the strategy whose proposals are filtered")
    asks: int = Field(default=8, ge=2, description="how often the inner strategy is asked for one proposal")
    batch_size: int = Field(default=64, ge=8, description="training samples that the proxies see")

    looks_at_data: ClassVar[bool] = True

    _ranked: dict[object, tuple[list[Trial], str]] = PrivateAttr(default_factory=dict)
    """The pool of a search from best to worst, and by what, by space and objectives: it is the same at every ask."""

    def prepare(self, context: SearchContext) -> Strategy:
        bound = super().prepare(context)
        assert isinstance(bound, type(self))
        bound._ranked = {}
        return bound

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        if self.inner is not None:
            scorer = Scorer(space, self.proxies, context=self._context, batch_size=self.batch_size)
            return self._filtered(self.inner, space, trials, objectives, rng, scorer)
        known = read(space, trials).known
        tried = {trial.identity for trial in trials}
        ranked, names = self._ranking(space, objectives, rng)
        for place, scored in enumerate(ranked, start=1):
            if scored.identity not in tried and key_of(scored.decisions) not in known:
                return Proposal(dict(scored.decisions), f"place {place} of {len(ranked)} by {names}")
        return Proposal(draw_new(space, known, rng), "random")

    def _ranking(
        self, space: SearchSpace, objectives: Sequence[Objective], rng: random.Random
    ) -> tuple[list[Trial], str]:
        """The pool from best to worst, and by what; without a task another one at every ask."""
        asked = memo_key(space), tuple(objectives)
        if asked in self._ranked:
            return self._ranked[asked]
        scorer = Scorer(space, self.proxies, context=self._context, batch_size=self.batch_size)
        judged, goals = stand_in(objectives)
        candidates = self._pool(space, rng, scorer)
        order = ranking(gather(as_trials(candidates, objective=judged, rule=self.rule), goals))
        ranked = [scored.trial for scored in order], self._names(candidates)
        if self._context is not None:
            self._ranked[asked] = ranked
        return ranked

    def _pool(self, space: SearchSpace, rng: random.Random, scorer: Scorer) -> list[Candidate]:
        """Random architectures, the same ones at every ask of a search; those that make no network are left out."""
        if self._context is not None:
            rng = generator(self._context.seed, "zero_cost pool")
        found: dict[str, Candidate] = {}
        listener = silent if self._context is None else self._context.listener
        report = Report(listener, "zero_cost: architectures scored,", self.pool)
        for done in range(self.pool):
            candidate = scorer.candidate(space.sample(rng))
            report(done + 1)
            if candidate is not None:
                found.setdefault(candidate.identity, candidate)
        return list(found.values())

    def _filtered(
        self,
        inner: Strategy,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
        scorer: Scorer,
    ) -> Proposal:
        """The most promising of several answers of the inner strategy; its first where none can be scored."""
        tried = {trial.identity for trial in trials}
        known = read(space, trials).known
        answers: dict[str, tuple[Candidate, Proposal]] = {}
        first: Proposal | None = None
        for _ in range(self.asks):
            proposal = inner.proposed(space, trials, objectives, random.Random(rng.getrandbits(64)))
            first = first or proposal
            candidate = scorer.candidate(proposal.decisions)
            new = candidate is not None and candidate.identity not in tried
            if candidate is not None and new and key_of(proposal.decisions) not in known:
                answers.setdefault(candidate.identity, (candidate, proposal))
        judged, goals = stand_in(objectives)
        candidates = [candidate for candidate, _ in answers.values()]
        scored = gather(as_trials(candidates, objective=judged, rule=self.rule), goals)
        allowed = [evidence for evidence in scored if evidence.violation == 0] or scored
        if not allowed:
            assert first is not None
            return first
        # of several objectives each member of the front is as good as the others
        best = allowed[rng.choice(fronts([evidence.losses for evidence in allowed])[0])]
        proposal = answers[best.trial.identity][1]
        return Proposal(
            proposal.decisions, f"{proposal.origin}, first of {len(candidates)} by {self._names(candidates)}"
        )

    def _names(self, candidates: Sequence[Candidate]) -> str:
        """The proxies that gave scores; `macs` stands in for those that had nothing to look at."""
        parts = {part for candidate in candidates for part in candidate.parts or ()}
        names = [name_of(proxy) for proxy in self.proxies]
        return " and ".join(n for n in names if any(p == n or p.startswith(f"{n}.") for p in parts)) or "macs"
