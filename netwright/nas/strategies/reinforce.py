"""Policy-gradient search."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.records import Objective, Trial
from netwright.nas.evidence import ATTEMPTS, Evidence, Key, Same, draw_new, gather, key_of, memo_key, read, space_of
from netwright.nas.policy import Policy, PolicyChooser, Step, steps_of
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.chooser import RejectedDecisionsError
from netwright.search_spaces.space import SearchSpace


class Reinforce(Strategy):
    """A policy over the sequence of decisions follows the reward (REINFORCE; Zoph and Le, 2017).

    The odds of a decision hang on the one before it. The reward is the share of earlier trials that a trial beats,
    of several objectives the mean over them; what exceeds a moving average is learnt, and entropy keeps the policy
    from settling too soon. Samples need hundreds of trials: others find more with fewer.
    """

    rate: float = Field(default=1.0, gt=0, description="length of a step of the policy")
    entropy: float = Field(default=0.02, ge=0, description="weight of the entropy of every decision")
    memory: float = Field(
        default=0.9, ge=0, lt=1, description="share of the old value in the moving average of rewards"
    )

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        record = read(space, trials)
        learner = _learner(memo_key(space), self.rate, self.entropy, self.memory)
        policy = learner.after(gather(record.own, objectives))
        for _ in range(ATTEMPTS):
            chooser = PolicyChooser(policy, rng)
            try:
                space.decide(chooser)
            except RejectedDecisionsError:
                continue
            if key_of(chooser.decisions) not in record.known:
                return Proposal(dict(chooser.decisions), "policy")
        try:  # the policy repeats itself: go on next to what it wants
            near = space.mutate(chooser.decisions, rng)
        except SpaceError:
            return Proposal(draw_new(space, record.known, rng), "random")
        if key_of(near) in record.known:
            return Proposal(draw_new(space, record.known, rng), "random")
        return Proposal(near, "policy, then a mutation")


class _Learner:
    """A policy and what it was learnt from; a record that goes on from there is learnt on, any other from the start."""

    def __init__(self, space: SearchSpace, *, rate: float, entropy: float, memory: float) -> None:
        self._space = space
        self._rate = rate
        self._entropy = entropy
        self._memory = memory
        self._told: list[tuple[int, tuple[float, ...], float]] = []
        self._restart()

    def after(self, evidence: Sequence[Evidence]) -> Policy:
        """The policy after these trials, in their order."""
        told = [(item.trial.number, item.losses, item.violation) for item in evidence]
        if told[: len(self._told)] != self._told:
            self._restart()
        for item in evidence[len(self._told) :]:
            self._learn(item)
        self._told = told
        return self._policy

    def _restart(self) -> None:
        self._policy = Policy()
        self._told = []
        self._seen: list[list[tuple[float, float]]] = []
        self._baseline = 0.5

    def _learn(self, item: Evidence) -> None:
        reward = self._reward(item)
        steps = _steps(memo_key(self._space), key_of(item.trial.decisions))
        advantage = reward - self._baseline
        self._policy.learn(steps, advantage=advantage, rate=self._rate, entropy=self._entropy)
        self._baseline = self._memory * self._baseline + (1 - self._memory) * reward

    def _reward(self, item: Evidence) -> float:
        """The share of earlier trials that this one beats, the mean over objectives; broken bounds come last."""
        if not self._seen:
            self._seen = [[] for _ in item.losses]
        shares = []
        for loss, seen in zip(item.losses, self._seen, strict=True):
            place = bisect_left(seen, (item.violation, loss))
            shares.append(1 - place / len(seen) if seen else 0.5)
            insort(seen, (item.violation, loss))
        return fmean(shares)


@lru_cache(maxsize=16)
def _learner(space: SearchSpace | Same, rate: float, entropy: float, memory: float) -> _Learner:
    return _Learner(space_of(space), rate=rate, entropy=entropy, memory=memory)


@lru_cache(maxsize=16384)
def _steps(space: SearchSpace | Same, key: Key) -> tuple[Step, ...]:
    decisions = dict(key)
    return steps_of(decisions, space_of(space).trace(decisions).domains)
