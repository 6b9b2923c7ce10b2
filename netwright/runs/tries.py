"""The tries of a budget solver: what they are made of, which are on the front, which goal none of them meets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netwright.analysis.front import best_within_bounds, pareto_front
from netwright.compression.judging import StageRow
from netwright.compression.recipe import Recipe
from netwright.core.files import content_hash
from netwright.core.records import Measurement, Objective, Trial, TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One setting of an open recipe: its decisions, the passes they make, and what came of it.

    `phase` is the place among the passes searched one after the other, 0 when all are searched together.
    `predicted` and `figures` are costs and scores by name, `ends` the interval of a prediction that was timed;
    `stages` tells what became of every pass.
    """

    number: int
    phase: int
    decisions: Mapping[str, Any]
    passes: Sequence[Mapping[str, Any]]
    origin: str
    state: TrialState = TrialState.RUNNING
    reason: str = ""
    predicted: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, Sequence[float]] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "state": str(self.state)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Try:
        return cls(**{**data, "state": TrialState(data["state"])})

    @property
    def identity(self) -> str:
        """Equal for equal passes, whatever decisions they came from."""
        return content_hash(list(self.passes))

    def trial(self) -> Trial:
        """The try as strategies and fronts read it; a try without figures is judged by its predictions."""
        known = {**self.predicted, **self.figures}
        measured = {name: Measurement(metric=name, value=float(value)) for name, value in known.items()}
        return Trial(
            number=self.number,
            decisions=dict(self.decisions),
            identity=self.identity,
            state=self.state,
            measurements=measured,
            reason=self.reason,
            origin=self.origin,
            seconds=self.seconds,
        )


def objectives_of(recipe: Recipe, score: Objective, first: StageRow) -> list[Objective]:
    """What the solver makes small, the task's score, and every other figure that is bounded, in this order."""
    assert recipe.solve is not None
    goals = recipe.bounds.goals()
    least = recipe.bounds.least_loss(score, first)
    small = [Objective(metric=m, direction="minimize", bound=goals.get(m)) for m in recipe.solve.minimize]
    others = [
        Objective(metric=m, direction="minimize", bound=b) for m, b in goals.items() if m not in recipe.solve.minimize
    ]
    return [*small, score.model_copy(update={"bound": least}), *others]


def plane_of(recipe: Recipe, objectives: Sequence[Objective]) -> list[Objective]:
    """The objectives that the front is drawn in: what is made small, and the score."""
    assert recipe.solve is not None
    return list(objectives[: len(recipe.solve.minimize) + 1])


def front_of(tries: Sequence[Try], recipe: Recipe, objectives: Sequence[Objective]) -> list[int]:
    """The numbers of the tries within all bounds that no other one beats."""
    within = [trial for one in tries if (trial := one.trial()).feasible(objectives)]
    return [trial.number for trial in pareto_front(within, plane_of(recipe, objectives))]


def chosen_of(tries: Sequence[Try], objectives: Sequence[Objective]) -> Try | None:
    """The try within all bounds whose first figure is best; None when none is within them."""
    best = best_within_bounds([one.trial() for one in tries], objectives)
    return None if best is None else next(one for one in tries if one.number == best.number)


def nearest_of(tries: Sequence[Try], objectives: Sequence[Objective], score: Objective) -> Try | None:
    """The try that misses the bounds by least, of those that keep that of the score if any do; None without figures."""
    measured = [one for one in tries if score.metric in one.figures]
    kept = [one for one in measured if one.state is TrialState.DONE]
    return min(kept or measured, key=lambda one: _violation(one, objectives), default=None)


def missed(one: Mapping[str, float], objectives: Sequence[Objective]) -> str:
    """Every bound that some figures break, and by how much; empty when they keep all."""
    texts = []
    for objective in objectives:
        value, bound = one.get(objective.metric), objective.bound
        if bound is None or (value is not None and objective.satisfied_by(value)):
            continue
        most = "at least" if objective.direction == "maximize" else "at most"
        if value is None:
            texts.append(f"{objective.metric} is not known, {most} {number_text(bound)} is asked")
            continue
        by = abs(value - bound)
        share = f" ({by / abs(bound):,.{1 if by < abs(bound) else 0}%})" if bound else ""
        asked = f"{objective.metric} {number_text(value)}, {most} {number_text(bound)} is asked"
        texts.append(f"{asked}: missed by {number_text(by)}{share}")
    return "; ".join(texts)


def verdict_of(tries: Sequence[Try], objectives: Sequence[Objective]) -> str:
    """Why there is nothing to choose: the nearest try, and each bound that none met with the best it came to."""
    known = [one for one in tries if one.figures or one.predicted]
    if not known:
        reasons = [one.reason for one in tries if one.reason]
        common = max(reasons, key=reasons.count) if reasons else "nothing was tried"
        return f"none of {len(tries)} tries came to an end; the most common reason: {common}"
    nearest = min(known, key=lambda one: _violation(one, objectives))
    trained = "" if nearest.figures else ", predicted"
    whole = " with all passes" if nearest.phase else ""
    text = f"no setting of {len(tries)} tried{whole} meets all goals. Nearest is try {nearest.number}{trained}: "
    its = nearest.figures or nearest.predicted
    text += missed(its, [o for o in objectives if nearest.figures or o.metric in its]) or nearest.reason
    figures = [one.figures or one.predicted for one in known]
    for objective in objectives:
        values = [each[objective.metric] for each in figures if objective.metric in each]
        if objective.bound is None or not values or any(map(objective.satisfied_by, values)):
            continue
        best = min(values, key=objective.loss)
        text += f". No try reached {objective.metric} {number_text(objective.bound)}; the best was {number_text(best)}"
    return text


def _violation(one: Try, objectives: Sequence[Objective]) -> float:
    """The sum of what is beyond each bound, relative to it; an unknown figure counts as wholly missed."""
    total = 0.0
    for objective in objectives:
        value, bound = (one.figures or one.predicted).get(objective.metric), objective.bound
        if bound is None:
            continue
        beyond = abs(bound) if value is None else objective.loss(value) - objective.loss(bound)
        total += max(beyond, 0.0) / (abs(bound) or 1.0)
    return total


def number_text(value: float) -> str:
    """A figure as sentences have it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
