"""Trials as a table: one row per trial, one column per fact."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from netwright.analysis.front import pareto_front
from netwright.core.records import Objective, Trial, TrialState


def metrics_of(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[str]:
    """Every metric that was measured, the objectives first, in the order in which they came up."""
    names = dict.fromkeys(objective.metric for objective in objectives)
    for trial in trials:
        names.update(dict.fromkeys(trial.measurements))
    return list(names)


def trials_frame(trials: Sequence[Trial], objectives: Sequence[Objective]) -> pd.DataFrame:
    """A data frame indexed by trial number.

    Columns: state, feasible, on_front, one per metric (NaN where it was not measured), fidelity (epochs),
    seconds, origin, reason, identity, and every decision as `decision:<name>`.
    """
    ordered = sorted(trials, key=lambda trial: trial.number)
    front = {trial.number for trial in pareto_front(ordered, objectives)}
    metrics = metrics_of(ordered, objectives)
    facts = [
        {
            "number": trial.number,
            "state": str(trial.state),
            "feasible": trial.state is TrialState.DONE and trial.feasible(objectives),
            "on_front": trial.number in front,
            **{metric: trial.value(metric) for metric in metrics},
            "fidelity": trial.fidelity,
            "seconds": trial.seconds,
            "origin": trial.origin,
            "reason": trial.reason,
            "identity": trial.identity,
        }
        for trial in ordered
    ]
    columns = ["number", "state", "feasible", "on_front", *metrics]
    columns += ["fidelity", "seconds", "origin", "reason", "identity"]
    frame = pd.DataFrame(facts, columns=columns)
    frame = frame.astype(dict.fromkeys(metrics, "float64"))
    decisions = pd.DataFrame([dict(trial.decisions) for trial in ordered]).add_prefix("decision:")
    return pd.concat([frame, decisions], axis=1).set_index("number")
