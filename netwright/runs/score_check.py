"""Before anything is trained: does the task give the scores that the objectives ask for?"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from netwright.core.errors import ConfigurationError, DataError, Mistake
from netwright.core.plugins import built, given, name_of
from netwright.core.shapes import Shapes
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Subject
from netwright.runs.specification import RunSpecification
from netwright.tasks.data import TaskData


class _NeedsAModelError(Exception):
    """A metric asked for what only a real model has; its trials will tell."""


def check_scores(specification: RunSpecification) -> None:
    """Raise ConfigurationError for an objective or constraint on a score that the task does not give.

    DataError where a method of the task gives something else than it should.
    """
    task = specification.task
    split = given(task, "data", TaskData).validation
    outputs = np.zeros((len(split), *given(task, "shapes", Shapes).output_shape), np.float32)
    scores: dict[str, float] = given(task, "score", dict, outputs, split.targets)
    for name, value in scores.items():
        if not hasattr(value, "__float__"):
            raise DataError(f"{name_of(task)}.score gives {value!r:.40} as {name!r}, expected a number")
    subject = Subject(
        cost=_refuse,
        scores=lambda: scores,
        session=_refuse,
        file=_refuse,
        example=np.zeros((1, *task.shapes().input), np.float32),
    )
    mistakes = []
    for objective in specification.limits:
        metric = built(Metric, objective.metric)
        why = _missing(metric, subject) if metric.cost == "trained" else ""
        if why:
            mistakes.append(Mistake("objectives", f"{objective.metric} cannot be known: {why}"))
    if mistakes:
        raise ConfigurationError(mistakes)


def _missing(metric: Metric, subject: Subject) -> str:
    """Why a metric has no value for outputs that are all zero; nothing when it has, or cannot be told yet."""
    if not np.isfinite(list(subject.scores().values())).all():
        return ""
    try:
        found = metric.measured(subject)
    except _NeedsAModelError:
        return ""
    return "" if found.value is not None else found.reason


def _refuse() -> NoReturn:
    raise _NeedsAModelError
