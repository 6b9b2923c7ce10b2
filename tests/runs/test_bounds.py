"""A bound on anything cheap is checked before a worker is troubled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from netwright.core.errors import InfeasibleError
from netwright.core.records import TrialState
from netwright.runs.cheap import described
from netwright.runs.folder import RunFolder
from netwright.runs.record import StudyRecord
from netwright.runs.search import create_run, search

INTENSITY = "tests.runs.own_metric:Intensity"
MEGABYTES = "tests.runs.own_metric:Megabytes"


def test_a_cheap_metric_of_ones_own_is_checked_before_a_worker_sees_the_trial(tiny_with, run_path: Path) -> None:
    spec = tiny_with(
        f"constraints=[{{metric: '{INTENSITY}', bound: 17}}]", "search.trials=10", "search.strategy=random_search"
    )
    create_run(spec, run_path)
    trials = search(run_path)
    refused = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]
    kept = [trial for trial in trials if trial not in refused]
    assert refused
    assert kept
    record = StudyRecord(RunFolder(run_path).database, read_only=True)
    for trial in refused:
        assert (trial.value(INTENSITY) or 0) > 17
        assert record.attempts_of(trial.number) == []
    record.close()
    assert all((trial.value(INTENSITY) or 99) <= 17 for trial in kept)


def test_a_bound_on_it_that_nothing_keeps_is_said_beforehand(tiny_with, run_path: Path) -> None:
    spec = tiny_with(f"constraints=[{{metric: '{INTENSITY}', bound: 0.001}}]")
    with pytest.raises(InfeasibleError, match=r"Intensity bound 0\.001, nearest"):
        create_run(spec, run_path)


def test_one_that_needs_the_network_is_left_to_the_worker(tiny_with, run_path: Path) -> None:
    spec = tiny_with(f"constraints=[{{metric: '{MEGABYTES}', bound: 0.000001}}]", "search.trials=1")
    create_run(spec, run_path)
    with pytest.raises(InfeasibleError, match="1 infeasible"):
        search(run_path)
    record = StudyRecord(RunFolder(run_path).database, read_only=True)
    (trial,) = record.all_trials()
    assert (trial.state, len(record.attempts_of(0)), trial.curve) == (TrialState.INFEASIBLE, 1, [])
    record.close()


def test_costs_are_those_that_the_space_reports(tiny_with) -> None:
    spec = tiny_with("space=nasbench201")
    decisions = spec.searched.sample(random.Random(0))
    identity, measured = described(spec, decisions)
    known, cost = spec.searched.describe(decisions, spec.task.shapes())
    assert identity == known
    assert {name: measured[name].value for name in ("params", "macs")} == {"params": cost.params, "macs": cost.macs}
