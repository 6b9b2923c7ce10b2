"""Candidates of a search scored by zero-cost proxies; what was scored is kept in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from netwright.core.cost import Cost
from netwright.core.errors import SpaceError
from netwright.core.files import content_hash, write_atomic
from netwright.core.identity import identity_of
from netwright.core.plugins import name_of
from netwright.core.progress import Listener, say
from netwright.core.records import Decisions, Measurement, Objective, Trial, TrialState
from netwright.core.shapes import Shapes
from netwright.evaluation.mixture import MixtureRule, mixture
from netwright.evaluation.proxy import NoScoreError, Proxy
from netwright.nas.context import SearchContext
from netwright.search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import torch

Parts = dict[str, float]
CHEAP = ("params", "macs", "peak_activation_bytes")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that may be proposed: what it costs and what the proxies say; None when none of them can."""

    decisions: Decisions
    identity: str
    cost: Cost
    parts: Parts | None


class Scorer:
    """Scores architectures of one space by some proxies.

    With a context the networks are built and see a batch of the task's training images. Without one there is
    nothing to show them: proxies that need a batch are left out, and when none is left, `macs` stands in.
    Shapes are then the space's first example.
    """

    def __init__(
        self, space: SearchSpace, proxies: Sequence[Proxy], *, context: SearchContext | None, batch_size: int
    ) -> None:
        self._space, self._context, self._batch_size = space, context, batch_size
        self._proxies = list(proxies) if context else [proxy for proxy in proxies if proxy.needs == "cost"]
        self._shapes = context.shapes if context else next(iter(space.examples()), None)
        self._scores = _scores_in(_file(space, proxies, context, batch_size)) if context else _Scores(None)

    def candidate(self, decisions: Decisions) -> Candidate | None:
        """The architecture with its scores; None when it makes no network."""
        if self._shapes is None:
            return None
        try:
            identity, cost = self._space.describe(decisions, self._shapes)
        except SpaceError:
            return None
        if identity not in self._scores.known:
            self._scores.add(identity, self._parts(decisions, cost, self._shapes))
        return Candidate(decisions, identity, cost, self._scores.known[identity])

    def _parts(self, decisions: Decisions, cost: Cost, shapes: Shapes) -> Parts | None:
        found = {name_of(proxy): proxy.of_cost(cost) for proxy in self._proxies if proxy.needs == "cost"}
        others = [proxy for proxy in self._proxies if proxy.needs == "batch"]
        if not others:
            return found or {"macs": float(cost.macs)}
        assert self._context is not None
        device = self._context.training_device()
        model = self._space.build(decisions, shapes, seed=self._context.seed).to(device)
        inputs, targets = _batch(self._context, self._batch_size, device)
        for proxy in others:
            try:
                parts = proxy.parts(model, inputs, targets, self._context.task.loss)
            except NoScoreError as error:
                self._scores.tell(self._context.listener, name_of(proxy), str(error))
                continue
            found |= {part if part == name_of(proxy) else f"{name_of(proxy)}.{part}": v for part, v in parts.items()}
        return found or None


def as_trials(candidates: Sequence[Candidate], *, objective: Objective, rule: MixtureRule) -> list[Trial]:
    """Candidates as finished trials whose value of `objective` is their place by the proxies, the rest their cost.

    The value has no unit and ranks these candidates only; it is the larger the better where the objective is
    maximised, the smaller the better where it is minimised. One without a score counts as failed.
    """
    ranks = mixture([candidate.parts for candidate in candidates], rule=rule)
    sign = 1 if objective.direction == "maximize" else -1
    trials = []
    for number, (candidate, rank) in enumerate(zip(candidates, ranks, strict=True)):
        values = {name: float(getattr(candidate.cost, name)) for name in CHEAP} | {objective.metric: sign * rank}
        trials.append(
            Trial(
                number=number,
                decisions=candidate.decisions,
                identity=candidate.identity,
                state=TrialState.DONE if candidate.parts is not None else TrialState.FAILED,
                measurements={name: Measurement(metric=name, value=value) for name, value in values.items()},
            )
        )
    return trials


class _Scores:
    """Scores by identity, in memory and in a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.known: dict[str, Parts | None] = {}
        if path is not None and path.is_file():
            self.known.update(json.loads(path.read_text(encoding="utf-8")))
        self._unwritten = 0
        self._told: set[str] = set()

    def tell(self, listener: Listener, proxy: str, reason: str) -> None:
        """Say once of a proxy that it cannot score everything."""
        if proxy not in self._told:
            self._told.add(proxy)
            say(listener, f"{proxy} gives no score to some architectures, which rank last by it: {reason}")

    def add(self, identity: str, parts: Parts | None) -> None:
        self.known[identity] = parts
        self._unwritten += 1
        # a file written whole each time stays cheap when it is written for every tenth of what it holds
        if self._path is not None and self._unwritten * 10 >= len(self.known):
            write_atomic(self._path, json.dumps(self.known))
            self._unwritten = 0


@lru_cache(maxsize=8)
def _scores_in(path: Path) -> _Scores:
    return _Scores(path)


def _file(space: SearchSpace, proxies: Sequence[Proxy], context: SearchContext | None, batch_size: int) -> Path:
    assert context is not None
    data = context.task.data().fingerprint
    facts: list[object] = [identity_of(space), identity_of(proxies), context.seed, batch_size, data]
    return context.folder / f"proxies-{content_hash(facts)[:12]}.json"


def _batch(context: SearchContext, size: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The first batch of the training split in a seeded order."""
    from netwright.tasks.batches import Batches

    return next(Batches(context.task, batch_size=size, seed=context.seed, device=device).epoch(1, augment=False))


def stand_in(objectives: Sequence[Objective]) -> tuple[Objective, list[Objective]]:
    """The objective that proxies stand for, and all that can be judged before training with it among them.

    It is the first one that is not a cost; its bound is left out, as a place among others cannot be held to it.
    """
    judged = next((o for o in objectives if o.metric not in CHEAP), None)
    judged = judged or Objective(metric="promise", direction="maximize")
    judged = judged.model_copy(update={"bound": None})
    return judged, [judged, *(o for o in objectives if o.metric in CHEAP)]
