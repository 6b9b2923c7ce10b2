"""What the decisions alone tell of an architecture, and whether any can keep the bounds on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NoReturn

from netwright.core.cost import Cost
from netwright.core.errors import ConfigurationError, InfeasibleError, Mistake, SpaceError
from netwright.core.plugins import built, name_of
from netwright.core.records import Measurement
from netwright.core.seeds import generator
from netwright.core.text import readable
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Subject
from netwright.runs.specification import RunSpecification
from netwright.runs.trial import ALWAYS, broken_bound


class _NotCheapError(Exception):
    """A metric that calls itself cheap asked for what has to be built first."""


def described(spec: RunSpecification, decisions: Mapping[str, Any]) -> tuple[str, dict[str, Measurement]]:
    """The identity of an architecture and every cheap metric: those always recorded, and those with a bound.

    A metric of the user's own that needs more than the cost is left to the worker, which builds the network.
    Raises SpaceError when the decisions make no network for the task's input.
    """
    identity, found = spec.searched.describe(decisions, spec.task.shapes())
    names = dict.fromkeys([*ALWAYS, *(objective.metric for objective in spec.limits)])
    measured = {}
    for metric in map(_metric, names):
        if metric.cost != "cheap":
            continue
        try:
            measured[name_of(metric)] = metric.measured(_subject(spec, decisions, found))
        except _NotCheapError:
            continue
    return identity, measured


def check_feasible(specification: RunSpecification, *, draws: int = 200) -> None:
    """Draw architectures at random; raise when none can be built, or none keeps the cheap bounds.

    Raises SpaceError or InfeasibleError that says how near the nearest one came, ConfigurationError for a cheap metric
    that has no value, such as a predicted latency without a table.
    """
    rng = generator(specification.seed, "feasibility")
    nearest: dict[str, float] = {}
    problem: SpaceError | None = None
    unknown: dict[str, str] = {}
    for _ in range(draws):
        try:
            _, measured = described(specification, specification.searched.sample(rng))
        except SpaceError as error:
            problem = error
            continue
        if missing := {name: m.reason for name, m in measured.items() if m.value is None}:
            unknown |= missing
            continue
        if broken_bound(specification.limits, measured) is None:
            return
        for limit in specification.limits:
            found = measured.get(limit.metric)
            if limit.bound is not None and found is not None and found.value is not None:
                nearest[limit.metric] = min(limit.loss(found.value), nearest.get(limit.metric, math.inf))
    if nearest:
        raise InfeasibleError(_too_tight(specification, nearest, draws))
    if unknown:
        raise ConfigurationError(
            [Mistake("objectives", f"{name} cannot be known: {reason}") for name, reason in unknown.items()]
        )
    raise SpaceError(f"the space makes no network for inputs of shape {specification.task.shapes().input}: {problem}")


def _too_tight(specification: RunSpecification, nearest: Mapping[str, float], draws: int) -> str:
    """How near the bounds came what was drawn; `nearest` has the least loss by metric."""
    texts = [
        f"{o.metric} bound {readable(o.bound or 0.0)}, nearest {readable(abs(nearest[o.metric]))}"
        for o in specification.limits
        if o.metric in nearest
    ]
    return (
        f"none of {draws} random architectures keeps the bounds ({'; '.join(texts)}); loosen a bound or widen the space"
    )


@lru_cache(maxsize=64)
def _metric(name: str) -> Metric:
    return built(Metric, name)


def _subject(spec: RunSpecification, decisions: Mapping[str, Any], found: Cost) -> Subject:
    import numpy as np

    return Subject(
        cost=lambda: found,
        scores=_refuse("scores"),
        session=_refuse("session"),
        file=_refuse("file"),
        example=np.zeros(0, np.float32),
        graph=lambda: spec.searched.graph(decisions, spec.task.shapes()),
        latency_table=spec.search.latency_table,
    )


def _refuse(what: str) -> Callable[[], NoReturn]:
    def ask() -> NoReturn:
        raise _NotCheapError(what)

    return ask
