"""Before anything is trained: does the task give the scores that the objectives ask for?"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from netwright.core.errors import ConfigurationError, Mistake
from netwright.core.plugins import built
from netwright.evaluation.metric import Metric
from netwright.evaluation.subject import Subject
from netwright.runs.specification import RunSpecification


class _NeedsAModelError(Exception):
    """A metric asked for what only a real model has; its trials will tell."""


def check_scores(specification: RunSpecification) -> None:
    """Raise ConfigurationError for an objective or constraint on a score that the task does not give."""
    task = specification.task
    split = task.data().validation
    outputs = np.zeros((len(split), *task.shapes().output_shape), np.float32)
    scores = task.score(outputs, split.targets)
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
