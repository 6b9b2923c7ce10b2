"""One-shot search: a supernet is trained once, and architectures are ranked by how well they do inside it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.files import canonical_json, content_hash, write_atomic
from netwright.core.identity import identity_of
from netwright.core.records import Decisions, Measurement, Objective, Trial, TrialState
from netwright.core.seeds import generator
from netwright.nas.context import SearchContext
from netwright.nas.evidence import draw_new, gather, key_of, read
from netwright.nas.nested import InnerStrategy
from netwright.nas.ranking import ranking
from netwright.nas.reporting import Report
from netwright.nas.strategy import Proposal, Strategy
from netwright.nas.supernet_training import SupernetTraining
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from netwright.search_spaces.supernet import Supernet

SCORED = "one_shot: architectures scored in the supernet,"
LOSS = "validation_loss"
TRIES = 20
"""So often the inner strategy is asked for an architecture that it has not seen."""


class OneShot(Strategy):
    """Trains one supernet of shared weights, searches in it, and proposes what is best there (Guo et al., 2020).

    An inner strategy searches `pool` architectures by their validation loss with the supernet's weights, for a
    forward pass each; they are proposed from the best on, and trained as any trial. With several objectives or
    bounds the order is by front and crowding; what the supernet cannot tell, such as latency, is left out. The
    supernet and all scores are kept in the run's folder. Asked without a task, it draws at random.
    """

    training: SupernetTraining = Field(default=SupernetTraining(), description="how the supernet is trained")
    inner: InnerStrategy = Field(
        default="evolution", validate_default=True, description="the strategy that searches inside the supernet"
    )
    pool: int = Field(default=200, ge=1, description="architectures that are scored inside the supernet")
    ranked_by: Literal["loss", "score"] = Field(
        default="loss",
        description="what tells more and less promising paths apart: the validation loss, or the score that the task "
        "is judged by",
    )

    looks_at_data: ClassVar[bool] = True

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        known = read(space, trials).known
        if self._context is not None:
            tried = {trial.identity for trial in trials}
            search = _search_of(_Job(space, self, self._context, tuple(objectives)))
            for place, scored in enumerate(search.ranked(), start=1):
                if scored.identity not in tried and key_of(scored.decisions) not in known:
                    return Proposal(dict(scored.decisions), f"place {place} of {self.pool} in the supernet")
        return Proposal(draw_new(space, known, rng), "random")

    def folder(self, space: SearchSpace, context: SearchContext) -> Path:
        """Where the supernet and the scores of this search are kept."""
        facts = [identity_of(space), identity_of(self), context.seed, context.task.data().fingerprint]
        return context.folder / f"one_shot-{content_hash(facts)[:12]}"


class _Job:
    """What a search inside a supernet is made from; equal when it would be the same search."""

    def __init__(
        self, space: SearchSpace, strategy: OneShot, context: SearchContext, objectives: tuple[Objective, ...]
    ) -> None:
        self.space, self.strategy, self.context, self.objectives = space, strategy, context, objectives
        goals = [objective.model_dump(mode="json") for objective in objectives]
        self.folder = strategy.folder(space, context)
        self.key = (str(self.folder), canonical_json(goals))

    def scored_by(self) -> Objective:
        """What says how good a path is."""
        by_loss = self.strategy.ranked_by == "loss"
        return Objective(metric=LOSS, direction="minimize") if by_loss else self.context.task.primary()

    def goals(self) -> tuple[Objective, ...]:
        """The search's objectives, as they count among paths."""
        score = self.context.task.primary().metric
        return tuple(self.scored_by() if o.metric == score else o for o in self.objectives) or (self.scored_by(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Job) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


class _Search:
    """The search inside one supernet, as far as it got; it goes on from what is in its folder."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        goals = content_hash(job.key[1])[:12]
        self._path = job.folder / f"scores-{goals}.json"
        self._trials: list[Trial] = []
        if self._path.is_file():
            self._trials = [Trial.from_json(data) for data in json.loads(self._path.read_text(encoding="utf-8"))]
        self._supernet: Supernet | None = None
        self._ranked: list[Trial] = []

    def ranked(self) -> list[Trial]:
        """The scored architectures from best to worst."""
        if not self._ranked:
            self._fill()
            ordered = ranking(gather(self._trials, self._known_objectives()))
            self._ranked = [evidence.trial for evidence in ordered]
        return self._ranked

    def _known_objectives(self) -> list[Objective]:
        """The objectives that the supernet tells something of; the task's own score when there is none."""
        told = {name for trial in self._trials for name in trial.measurements}
        goals = self._job.goals()
        return [o for o in goals if o.metric in told] or [self._job.scored_by()]

    def _fill(self) -> None:
        """Score architectures until there are enough, or none is left."""
        job = self._job
        before = len(self._trials)
        report: Report | None = None
        while len(self._trials) < job.strategy.pool:
            decisions = self._next()
            if decisions is None:
                break
            self._trained()
            # the time that the supernet took says nothing of the time that a score takes
            report = report or Report(job.context.listener, SCORED, job.strategy.pool)
            self._trials.append(self._scored(decisions))
            report(len(self._trials))
            if len(self._trials) % 20 == 0:
                self._keep()
        if len(self._trials) > before:
            self._keep()

    def _next(self) -> dict[str, Any] | None:
        job, number = self._job, len(self._trials)
        seen = {key_of(trial.decisions) for trial in self._trials}
        for attempt in range(TRIES):
            rng = generator(job.context.seed, "one_shot", number, attempt)
            proposal = job.strategy.inner.proposed(job.space, self._trials, job.goals(), rng)
            if key_of(proposal.decisions) not in seen:
                return proposal.decisions
        return None

    def _scored(self, decisions: dict[str, Any]) -> Trial:
        """One architecture with its scores in the supernet and its cost, as a trial of the inner search."""
        from netwright.nas.weight_sharing import score_path

        job = self._job
        context, number = job.context, len(self._trials)
        try:
            identity, cost = job.space.describe(decisions, context.shapes)
        except SpaceError as error:
            return Trial(number=number, decisions=decisions, identity="", state=TrialState.FAILED, reason=str(error))
        values: dict[str, float] = {
            "params": cost.params, "macs": cost.macs, "peak_activation_bytes": cost.peak_activation_bytes
        }  # fmt: skip
        scores = score_path(
            self._trained(), decisions, context.task, training=job.strategy.training, seed=context.seed,
            device=context.training_device(),
        )  # fmt: skip
        values |= {(LOSS if name == "loss" else name): value for name, value in scores.items()}
        measurements = {name: Measurement(metric=name, value=value) for name, value in values.items()}
        return Trial(
            number=number, decisions=decisions, identity=identity, state=TrialState.DONE, measurements=measurements
        )

    def _trained(self) -> Supernet:
        if self._supernet is None:
            self._supernet = trained_supernet(self._job.strategy, self._job.space, self._job.context)
        return self._supernet

    def _keep(self) -> None:
        write_atomic(self._path, json.dumps([trial.to_json() for trial in self._trials]))


@lru_cache(maxsize=4)
def _search_of(job: _Job) -> _Search:
    return _Search(job)


def trained_supernet(strategy: OneShot, space: SearchSpace, context: SearchContext) -> Supernet:
    """The supernet of a search, from its folder or trained now; `cut(decisions)` gives a network with its weights."""
    from netwright.nas.weight_sharing import train_supernet

    what = f"one_shot: supernet, in which {strategy.pool} architectures are scored afterwards, epoch"
    report = Report(context.listener, what, strategy.training.epochs)
    return train_supernet(
        space,
        context.task,
        training=strategy.training,
        seed=context.seed,
        checkpoint=strategy.folder(space, context) / "supernet.safetensors",
        device=context.training_device(),
        on_epoch=lambda epoch, loss: report(epoch),
    )


def cut_winner(strategy: OneShot, space: SearchSpace, context: SearchContext, decisions: Decisions) -> Any:
    """A network with the supernet's weights and batch statistics of its own, to start a training from.

    A torch.fx.GraphModule, as `space.build` gives, but trained.
    """
    from netwright.nas.weight_sharing import calibrated

    model = trained_supernet(strategy, space, context).cut(decisions)
    training = strategy.training
    return calibrated(
        model, context.task, samples=training.calibration_samples, batch_size=training.batch_size, seed=context.seed
    )
