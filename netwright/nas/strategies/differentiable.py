"""Differentiable search: DARTS, GDAS and DrNAS choose by gradients; what they find is then trained as any trial."""

from __future__ import annotations

import heapq
import json
import math
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from netwright.core.errors import SpaceError
from netwright.core.files import content_hash, write_atomic
from netwright.core.identity import identity_of
from netwright.core.progress import say
from netwright.core.records import Objective, Trial
from netwright.nas.context import SearchContext
from netwright.nas.evidence import draw_new, key_of, read
from netwright.nas.relaxed_training import RelaxedTraining
from netwright.nas.reporting import Report
from netwright.nas.strategy import Proposal, Strategy
from netwright.search_spaces.space import SearchSpace

Strengths = dict[str, list[tuple[Any, float]]]
DRAWS = 50
"""After the strongest architecture the next ones are drawn by strength, so often until one is new."""


class Differentiable(Strategy):
    """Trains one network with all options at once and keeps the options that gradients make strong.

    `darts` and `darts_second_order` (Liu et al., 2019) weigh all options, `gdas` (Dong & Yang, 2019) draws one at
    a time and so trains several times as fast, `drnas` (Chen et al., 2021) draws the weights. For spaces whose
    decisions say which operation an edge of a cell carries, such as `nasbench201`, and `cells` with one width and
    depth. The first proposal takes the strongest option everywhere, the next ones are drawn by strength. A search
    in which skips win too many decisions is ended early. Asked without a task, it draws at random.
    """

    method: Literal["darts", "darts_second_order", "gdas", "drnas"] = Field(
        default="gdas", description="how strengths become weights of options"
    )
    training: RelaxedTraining = Field(default=RelaxedTraining(), description="how the relaxed network is trained")

    looks_at_data: ClassVar[bool] = True

    def ask(
        self,
        space: SearchSpace,
        trials: Sequence[Trial],
        objectives: Sequence[Objective],
        rng: random.Random,
    ) -> Proposal:
        known = read(space, trials).known
        if self._context is None:
            return Proposal(draw_new(space, known, rng), "random")
        found, ended = _found(self, space, self._context)
        fixed = {name: domain.values()[0] for name, domain in _domains(space).items() if name not in found}
        best = strongest(space, found, fixed)
        if key_of(best) not in known:
            return Proposal(best, self.method + ended)
        for _ in range(DRAWS):
            drawn = {name: rng.choices(*map(list, zip(*row, strict=True)))[0] for name, row in found.items()} | fixed
            if key_of(drawn) not in known and _allowed(space, drawn):
                return Proposal(drawn, f"drawn by {self.method}")
        return Proposal(draw_new(space, known, rng), "random")


def strongest(space: SearchSpace, strengths: Strengths, fixed: dict[str, Any]) -> dict[str, Any]:
    """The allowed decisions of the largest joint probability.

    Where the strongest options together are not allowed, the cheapest single changes are tried, then two at once,
    and so on.
    """
    rows = {name: sorted(row, key=lambda pair: -pair[1]) for name, row in strengths.items()}
    names = list(rows)
    start = (0,) * len(names)
    waiting, seen = [(0.0, start)], {start}
    while waiting:
        cost, places = heapq.heappop(waiting)
        decisions = {name: rows[name][place][0] for name, place in zip(names, places, strict=True)} | fixed
        if _allowed(space, decisions):
            return decisions
        for index, name in enumerate(names):
            if places[index] + 1 < len(rows[name]):
                after = (*places[:index], places[index] + 1, *places[index + 1 :])
                if after not in seen:
                    seen.add(after)
                    here, there = (max(rows[name][place][1], 1e-12) for place in (places[index], after[index]))
                    heapq.heappush(waiting, (cost + math.log(here / there), after))
    raise SpaceError("no combination of the options is allowed")


def _allowed(space: SearchSpace, decisions: dict[str, Any]) -> bool:
    try:
        space.trace(decisions)
    except SpaceError:
        return False
    return True


def _domains(space: SearchSpace) -> dict[str, Any]:
    return space.trace(space.sample(random.Random(0))).domains


def _found(strategy: Differentiable, space: SearchSpace, context: SearchContext) -> tuple[Strengths, str]:
    """The strengths, and why they were found early; from the run's folder or found now."""
    facts = [identity_of(space), identity_of(strategy), context.seed, context.task.data().fingerprint]
    path = context.folder / f"differentiable-{content_hash(facts)[:12]}.json"
    if not path.is_file():
        from netwright.nas.differentiable_search import search_by_gradients

        found = search_by_gradients(
            space, context.task, rule=strategy.method, training=strategy.training, seed=context.seed,
            checkpoint=(checkpoint := path.with_suffix(".safetensors")), device=context.training_device(),
            on_epoch=Report(context.listener, "differentiable: epoch", strategy.training.epochs),
        )  # fmt: skip
        kept = {"strengths": found.strengths, "epochs": found.epochs, "collapsed": found.collapsed}
        write_atomic(path, json.dumps(kept))
        checkpoint.unlink(missing_ok=True)
        if found.collapsed:
            say(context.listener, _why_ended(strategy, found.epochs))
    return _read(str(path))


def _why_ended(strategy: Differentiable, epoch: int) -> str:
    training = strategy.training
    learnt = f"the strengths of epoch {epoch - 1}" if epoch - 1 > training.warm_up else "the strengths of the start"
    return (
        f"{strategy.method}: in epoch {epoch} of {training.epochs} skips won more than {training.most_skips:.0%} of "
        f"the decisions that have one, so it ended with {learnt}; more warm_up, or a higher most_skips, lets it go on"
    )


@lru_cache(maxsize=8)
def _read(path: str) -> tuple[Strengths, str]:
    kept = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = {name: [(option, float(share)) for option, share in row] for name, row in kept["strengths"].items()}
    return rows, f", ended by skips in epoch {kept['epochs']}" if kept["collapsed"] else ""
