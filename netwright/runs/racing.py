"""Racing seeds: the front is trained in full with several seeds, and who is clearly beaten drops out early."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netwright.analysis.front import pareto_front
from netwright.core.errors import RunError
from netwright.core.plugins import built
from netwright.core.progress import Listener, say, silent
from netwright.core.records import Objective, Trial
from netwright.core.seeds import derive_seed
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Subject
from netwright.runs.noise import interval_of_mean
from netwright.runs.search import OpenRun
from netwright.runs.specification import RunSpecification
from netwright.tasks.settings import Training

Interval = tuple[float, float, float]
"""Mean, low and high."""


@dataclass(frozen=True, slots=True)
class Racer:
    """A trial of the front and what its trainings gave: one value per seed for each metric that training decides.

    A seed that gave none, since its training diverged, has a reason in `failed` instead.
    """

    trial: Trial
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    failed: Mapping[int, str] = field(default_factory=dict)
    dropped_after: int | None = None

    def interval(self, objective: Objective) -> Interval:
        """An objective's mean with its 95 % interval; what training does not change is a point.

        A mean of no training at all is nan.
        """
        values = self.values.get(objective.metric)
        if values is not None:
            return interval_of_mean(values) if values else (math.nan, -math.inf, math.inf)
        value = self.trial.value(objective.metric)
        assert value is not None
        return value, value, value

    def to_json(self, objectives: Sequence[Objective]) -> dict[str, Any]:
        """The racer as it is recorded; an interval of a single training is absent."""
        metrics = {}
        for objective in objectives:
            mean, low, high = self.interval(objective)
            ends = {"mean": mean, "low": low, "high": high}
            shown = {name: end if math.isfinite(end) else None for name, end in ends.items()}
            metrics[objective.metric] = {**shown, "values": list(self.values.get(objective.metric, ()))}
        seeds = len(self.failed) + max((len(values) for values in self.values.values()), default=0)
        facts = {"trial": self.trial.number, "identity": self.trial.identity, "seeds": seeds}
        failed = [{"seed": seed, "reason": reason} for seed, reason in self.failed.items()]
        return {**facts, "failed": failed, "dropped_after": self.dropped_after, "metrics": metrics}


def raced(run: OpenRun, *, listener: Listener = silent) -> Mapping[str, Any]:
    """The race over the run's front as it is now, from the record where it was run before.

    Every trial of the front is trained in full, seed by seed; from the second seed on, one whose interval is
    dominated by another's drops out. A seed whose training diverges is left out of its trial's mean. A race that was
    killed goes on from its checkpoints. Raises RunError when the front is empty, or no training gave a result.
    """
    spec = run.specification
    front = pareto_front(run.record.all_trials(), spec.objectives)
    if not front:
        raise RunError(f"{run.folder.path} has no finished trial within the bounds, so there is none to race")
    facts = {
        "seeds": spec.winner.seeds,
        "training": spec.winner.training.model_dump(mode="json"),
        "front": sorted(trial.number for trial in front),
    }
    stored = run.record.fact("race")
    # a race run before a setting existed was trained with its default
    if stored and {name: stored.get(name) for name in facts} | {"training": _in_full(stored["training"])} == facts:
        return dict(stored)
    trained = [o.metric for o in spec.objectives if _metric(o.metric).cost == "trained"]
    racers = [Racer(trial, dict.fromkeys(trained, ())) for trial in front]
    for seed in range(spec.winner.seeds):
        text = f"racing {sum(r.dropped_after is None for r in racers)} trials of the front"
        say(listener, f"{text}: seed {seed + 1} of {spec.winner.seeds}")
        racers = [_trained(run, racer, seed) if racer.dropped_after is None else racer for racer in racers]
        racers = dropped(racers, spec.objectives, seeds=seed + 1)
    best = best_of(racers, spec)
    result = {**facts, "racers": [racer.to_json(spec.objectives) for racer in racers], "winner": best.trial.number}
    run.record.set_fact("race", result)
    return result


def _in_full(training: Mapping[str, Any]) -> dict[str, Any]:
    return {**Training().model_dump(mode="json"), **training}


def dropped(racers: Sequence[Racer], objectives: Sequence[Objective], *, seeds: int) -> list[Racer]:
    """The racers, those marked as dropped whose interval another one's dominates.

    One dominates when the worst end of its interval is no worse than the other's best end in every objective, and
    better in one.
    """
    racing = [racer for racer in racers if racer.dropped_after is None]
    beaten = {
        racer.trial.number
        for racer in racing
        if any(_beats(other, racer, objectives) for other in racing if other is not racer)
    }
    return [
        dataclasses.replace(racer, dropped_after=seeds) if racer.trial.number in beaten else racer for racer in racers
    ]


def best_of(racers: Sequence[Racer], spec: RunSpecification) -> Racer:
    """The racer with the best mean of what the winner is chosen by, of those that stayed and keep all bounds.

    When no mean keeps all bounds, the best of those that stayed. Raises RunError when no training gave a result.
    """
    stayed = [racer for racer in racers if racer.dropped_after is None and all(racer.values.values())]
    if not stayed:
        first = next(reason for racer in racers for reason in racer.failed.values())
        raise RunError(f"no training of the race gave a result: {first}")
    within = [r for r in stayed if all(o.satisfied_by(r.interval(o)[0]) for o in spec.objectives)]
    chosen = spec.chosen_by
    return min(within or stayed, key=lambda r: (chosen.loss(r.interval(chosen)[0]), r.trial.number))


def lost_seeds(race: Mapping[str, Any]) -> set[int]:
    """Which of the trainings of a race's winner gave no result, counted from 0."""
    racer = next(one for one in race["racers"] if one["trial"] == race["winner"])
    return {one["seed"] for one in racer.get("failed", ())}


def winner_seed(spec: RunSpecification, identity: str, repeat: int = 0) -> int:
    """The seed of a full training of an architecture; the first is that of the winner itself."""
    return derive_seed(spec.seed, identity, "winner", *([repeat] if repeat else []))


def winner_checkpoint(run: OpenRun, identity: str, repeat: int) -> Path:
    """Where the full training of an architecture by its seed of that number is kept."""
    return run.folder.scratch / "winner" / (f"{identity}-{repeat}" if repeat else identity)


def _beats(left: Racer, right: Racer, objectives: Sequence[Objective]) -> bool:
    pairs = [(_losses(left.interval(o), o)[1], _losses(right.interval(o), o)[0]) for o in objectives]
    return all(worst <= best for worst, best in pairs) and any(worst < best for worst, best in pairs)


def _losses(interval: Interval, objective: Objective) -> tuple[float, float]:
    """The best and the worst end of an interval, where smaller is better."""
    ends = sorted(objective.loss(end) for end in interval[1:])
    return ends[0], ends[1]


def _trained(run: OpenRun, racer: Racer, repeat: int) -> Racer:
    """The racer after one more training in full; one that gave nothing is counted with its reason."""
    from netwright.runs.reduced import helped
    from netwright.tasks.training import NotFiniteError, evaluate, fit

    spec, identity = run.specification, racer.trial.identity
    seed = winner_seed(spec, identity, repeat)
    model = spec.searched.build(racer.trial.decisions, spec.task.shapes(), seed=seed)
    checkpoint = winner_checkpoint(run, identity, repeat)
    device = spec.training_device()
    training = spec.winner.training
    auxiliary = helped(spec, racer.trial.decisions, model, training=training, seed=seed)
    try:
        fit(
            model, spec.task, training=training, seed=seed, auxiliary=auxiliary, checkpoint=checkpoint, device=device
        )  # fmt: skip
    except NotFiniteError as error:
        return dataclasses.replace(racer, failed={**racer.failed, repeat: str(error)})
    scores = evaluate(model, spec.task, "validation", device=device)
    found = {metric: _metric(metric).measured(_scored(scores)) for metric in racer.values}
    lost = [f"{metric} has no value: {one.reason}" for metric, one in found.items() if one.value is None]
    if lost:
        return dataclasses.replace(racer, failed={**racer.failed, repeat: lost[0]})
    values = {m: [*racer.values[m], one.value] for m, one in found.items() if one.value is not None}
    return dataclasses.replace(racer, values=values)


def _metric(name: str) -> Metric:
    return built(Metric, name)


def _scored(scores: dict[str, float]) -> Subject:
    """A trained model as far as its scores go, which is all that a metric of this cost may ask for."""

    def absent() -> Any:
        raise RunError("a metric that says it needs training alone asked for more than scores")

    return Subject(cost=absent, scores=lambda: scores, session=absent, file=absent, example=np.zeros(0, np.float32))
