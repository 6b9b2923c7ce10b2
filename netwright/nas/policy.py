"""A policy over decisions: how likely each option of each decision is, learnt from rewards."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netwright.core.records import Decisions
from netwright.search_spaces.chooser import Chooser
from netwright.search_spaces.domain import Categorical, Domain, Integer, Real, Subset, Value

BINS = 8
"""A number of many values is drawn from one of so many equal parts of its range."""

Slot = tuple[str, str]
"""What a decision's odds hang on: its name, and what was decided just before."""
Odds = dict[str, float]
"""The logit of each option, where it is not 0."""


@dataclass(frozen=True, slots=True)
class Step:
    """One decision as the policy sees it: its slot, the options it had, and the one taken."""

    slot: Slot
    options: tuple[str, ...]
    taken: str


class Policy:
    """Logits for every slot; options never rewarded stand at 0, so that a fresh policy draws evenly."""

    def __init__(self) -> None:
        self._odds: dict[Slot, Odds] = {}

    def probabilities(self, slot: Slot, options: Sequence[str]) -> list[float]:
        """The probability of each option."""
        odds = self._odds.get(slot)
        if odds is None:
            return [1 / len(options)] * len(options)
        logits = [odds.get(option, 0.0) for option in options]
        top = max(logits)
        powers = [math.exp(logit - top) for logit in logits]
        total = sum(powers)
        return [power / total for power in powers]

    def learn(self, steps: Sequence[Step], *, advantage: float, rate: float, entropy: float) -> None:
        """One step up the gradient of reward and entropy (Williams, 1992)."""
        for step in steps:
            chances = self.probabilities(step.slot, step.options)
            spread = -sum(p * math.log(p) for p in chances if p > 0)
            odds = self._odds.setdefault(step.slot, {})
            for option, p in zip(step.options, chances, strict=True):
                towards = advantage * (float(option == step.taken) - p)
                flatter = -p * (math.log(p) + spread) if p > 0 else 0.0
                odds[option] = odds.get(option, 0.0) + rate * (towards + entropy * flatter)


class PolicyChooser(Chooser):
    """Draws each decision as the policy has it."""

    def __init__(self, policy: Policy, rng: random.Random) -> None:
        super().__init__()
        self._policy = policy
        self._rng = rng
        self._before = ""

    def draw(self, name: str, domain: Domain) -> Value:
        options = options_of(domain)
        names = list(options)
        (taken,) = self._rng.choices(names, self._policy.probabilities((name, self._before), names))
        self._before = f"{name}={taken}"
        found = options[taken]
        return found.draw(self._rng) if isinstance(found, (Integer, Real, Subset)) else found


def steps_of(decisions: Decisions, domains: Mapping[str, Domain]) -> tuple[Step, ...]:
    """An architecture as the steps of a policy, in the order of asking; a single option is none."""
    steps = []
    before = ""
    for name, domain in domains.items():
        value = decisions[name]
        options = options_of(domain)
        taken = next(label for label, option in options.items() if _is(option, value))
        if len(options) > 1:
            steps.append(Step((name, before), tuple(options), taken))
        before = f"{name}={taken}"
    return tuple(steps)


def options_of(domain: Domain) -> dict[str, Value | Integer | Real | Subset]:
    """What a policy chooses from: the values, parts of a long range, or for a large subset how many it has."""
    if isinstance(domain, Categorical) or (not isinstance(domain, Real) and domain.size <= BINS**2):
        return {repr(value): value for value in domain.values()}
    if isinstance(domain, Subset):
        return {f"{n} of them": Subset(domain.options, n, n) for n in range(domain.least, domain.most + 1)}
    if domain.low == domain.high:
        return {repr(domain.low): domain.low}
    return {f"part {part}": _part(domain, part) for part in range(BINS)}


def _part(domain: Integer | Real, part: int) -> Integer | Real:
    if isinstance(domain, Integer):
        count = int(domain.size)
        first, last = part * count // BINS, (part + 1) * count // BINS - 1
        return Integer(domain.low + first * domain.step, domain.low + last * domain.step, domain.step)
    if domain.log:
        ratio = (domain.high / domain.low) ** (1 / BINS)
        return Real(domain.low * ratio**part, min(domain.low * ratio ** (part + 1), domain.high), log=True)
    width = (domain.high - domain.low) / BINS
    return Real(domain.low + part * width, min(domain.low + (part + 1) * width, domain.high))


def _is(option: object, value: object) -> bool:
    if isinstance(option, Subset):
        return isinstance(value, (tuple, list)) and option.least <= len(value) <= option.most
    if isinstance(option, Integer):
        return isinstance(value, int) and option.low <= value <= option.high
    if isinstance(option, Real):
        return isinstance(value, (int, float)) and value <= option.high
    given = tuple(value) if isinstance(value, list) else value
    return type(option) is type(given) and option == given
