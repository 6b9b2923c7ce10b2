"""Ray Tune's own schedulers end trials; what they do is on the run's record like all else."""

from __future__ import annotations

from pathlib import Path

import pytest

from netwright.core.errors import ConfigurationError, RunError
from netwright.core.records import TrialState
from netwright.runs.search import create_run, search


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_rays_own_schedulers_end_trials_early(scheduler: str, tiny_with, run_path: Path) -> None:
    spec = tiny_with(
        f"search.executor={{kind: ray_tune, workers: 2, scheduler: {scheduler}, eta: 2}}",
        "objectives=[accuracy]",
        "search.training.epochs=4",
        "search.stopper=never",
        "search.strategy=random_search",
        "search.trials=10",
    )
    create_run(spec, run_path)
    trials = search(run_path)
    assert len(trials) == 10
    assert {trial.state for trial in trials} == {TrialState.DONE, TrialState.STOPPED}
    for trial in trials:
        assert [row["epoch"] for row in trial.curve] == list(range(1, int(trial.fidelity) + 1))
        assert (trial.state is TrialState.DONE) == (trial.fidelity == 4)
    best = max(trials, key=lambda trial: trial.value("accuracy") or 0)
    assert best.state is TrialState.DONE


@pytest.mark.parametrize(
    ("also", "told"),
    [
        ("objectives=[accuracy, params]", "the 2 objectives need `search.fidelity` with a promotion"),
        ("search.fidelity={rungs: [1, 2]}", "`search.fidelity` says who goes on"),
        ("search.ordered=true", "`search.ordered` wants the same record every time"),
    ],
)
def test_rays_schedulers_are_for_one_objective_without_rungs_or_order(also: str, told: str, tiny_with) -> None:
    with pytest.raises(ConfigurationError, match=f"by one objective as they arrive, but {told}; leave it out"):
        tiny_with("search.executor={kind: ray_tune, scheduler: hyperband}", "objectives=[accuracy]", also)


def test_a_cluster_that_is_not_there_is_told(tiny_with, run_path: Path) -> None:
    create_run(tiny_with("search.executor={kind: ray_tune, workers: 2, address: nowhere}"), run_path)
    with pytest.raises(RunError, match=r"no Ray cluster at nowhere could be joined: .*; `executor: processes` needs"):
        search(run_path)
